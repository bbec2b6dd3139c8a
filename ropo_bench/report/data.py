"""What a report shows, as plain data: gathered by `ropo_bench.report`, drawn by figures, written by page.

Rows are named as in `board`. What is not there yet is absent, and `left_out` says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.types import Comparison, Measurement, Status

Verdict = Literal["won", "lost", "tie"]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report: its heading, and how to read what stands below it."""

    title: str
    caption: str


SECTIONS: Mapping[str, Section] = {
    "leaderboard": Section("Leaderboard", "Every row on every metric, with what its training cost."),
    "win-rates": Section(
        "Win rates",
        "Against the baseline's answers to the same prompts, with 95 % intervals; at 50 a row is as good as it.",
    ),
    "quality-length": Section(
        "Quality against length",
        "Judges tend to like long answers: a row that is better and no longer is better for its content.",
    ),
    "quality-parameters": Section(
        "Quality against trainable parameters",
        "On a logarithmic axis. The line joins the Pareto front: by point estimates, which separate nobody, no row is"
        " both smaller and better than a row on it.",
    ),
    "quality-time": Section(
        "Quality against training time",
        "Mean over seeds. The line joins the Pareto front: by point estimates, which separate nobody, no row is both"
        " faster and better than a row on it.",
    ),
    "learning-rates": Section(
        "Score against learning rate",
        "On the validation prompts, a method a panel, with 95 % intervals: over prompts alone where one seed tried a"
        " rate, over prompts and seeds around the peak. Filled: the chosen rate, whose value is flattered by being"
        " the best of several; dashed: what prompts and seeds with no part in the choice say of it. A cross: a trial"
        " that failed.",
    ),
    "categories": Section("Categories", "Mean grade by category of prompt, with 95 % intervals."),
    "trajectories": Section(
        "Log-probabilities in training",
        "Summed over the completion, mean over a batch and over seeds; the band spans the seeds. Where the chosen"
        " line falls too, likelihood is displaced: the policy prefers the chosen answer, but gives it less"
        " probability. Rewards are the loss's own: beta times the log-ratio to the reference, where it has one.",
    ),
    "energy-drift": Section(
        "Hyperspherical energy",
        "|HE / HE of the base - 1| of every linear module, mean over seeds; rotating all neurons leaves it at 0."
        " A dot: no change at all.",
    ),
    "angle-drift": Section(
        "Angles between neurons",
        "Mean change of the angle between two neurons of a module, in radians, mean over seeds. A dot: no change"
        " at all.",
    ),
    "distinct-n": Section(
        "Distinct n-grams at matched length",
        "Every row's answer is cut to the words of the shortest row's answer to the same prompt and sample, because"
        " short answers repeat less. Hollow marks: the same before cutting.",
    ),
    "forgetting": Section(
        "Forgetting",
        "Difference of accuracy to the SFT model by sub-task, in points, with 95 % intervals, each on its own: of"
        " twenty, one misses the truth. Wholly below 0: forgotten.",
    ),
    "samples": Section(
        "Answers side by side",
        "What each row answered, and what the judge made of it. Flipped: won by one row shown, lost by another.",
    ),
}
"""In the order of the report; the names are also those of the figures."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The log of one training: values by TRL's name (logps/chosen, rewards/margins, loss ...), one a step."""

    row: str
    seed: int
    steps: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class RatePoint:
    """One learning rate: its value with a 95 % interval, None where the trial failed or nothing was scored."""

    lr: float
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class RateCurve:
    """A row's score on the validation task against its learning rate; rates ascending.

    chosen: the rate that it trains at. corrected: what the choice is worth by data that had no part in it.
    """

    row: str
    metric: str
    points: tuple[RatePoint, ...]
    chosen: float | None
    corrected: float | None


@dataclass(frozen=True, slots=True)
class Drift:
    """What training did to a module's neurons: |HE/HE_base - 1|, and change of the angles between them in radians.

    Means over the seeds that are there; angle_drift_max is the largest over all pairs of neurons and all seeds.
    """

    row: str
    layer: int
    module: str
    energy_drift: float | None
    angle_drift: float | None
    angle_drift_max: float | None


@dataclass(frozen=True, slots=True)
class Category:
    """A row's mean grade in one category of a task's prompts."""

    task: str
    row: str
    category: str
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class Length:
    """A row's mean number of tokens in all its answers to a prompt."""

    task: str
    row: str
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class Diversity:
    """distinct-n (0..100) of a row's answers cut to matched length, and of the same answers whole.

    num_words: mean number of words of an answer that was left; whole_words: before cutting.
    """

    task: str
    row: str
    n: int
    matched: Measurement
    whole: Measurement
    num_words: float
    whole_words: float


@dataclass(frozen=True, slots=True)
class Forgetting:
    """A row's accuracy minus the SFT model's on one sub-task (or one kind of question), in points."""

    task: str
    part: str
    row: str
    difference: Comparison


@dataclass(frozen=True, slots=True)
class Answer:
    """What a row answered to all turns of a prompt, and what it was worth.

    value: the grade (1..10, mean over turns) or the preference for it (0..100) that the verdict comes from; grades:
    by turn, where turns are judged one by one. status: the worst of its turns. verdict: of the row
    against its opponent (Battle.opponent); None where unscored, and for the opponent itself.
    """

    row: str
    seed: int
    turns: tuple[str, ...]
    num_tokens: int
    value: float | None
    grades: tuple[float | None, ...]
    status: Status
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Battle:
    """One prompt, and all rows' answers to it, by row (the board's order) and seed.

    metric: what Answer.value is. opponent: whom verdicts are against ("SFT", or the name of a fixed set of
    answers), opponent_turns: its answers where it is no row of the table. flipped: some verdict is "won" and another
    "lost", between rows or between seeds of one row. unscored: some answer has no score.
    """

    task: str
    prompt_id: str
    category: str
    prompt: tuple[str, ...]
    metric: str
    opponent: str
    opponent_turns: tuple[str, ...]
    answers: tuple[Answer, ...]

    @property
    def flipped(self) -> bool:
        """Whether one answer won and another lost."""
        return {"won", "lost"} <= {answer.verdict for answer in self.answers}

    @property
    def unscored(self) -> bool:
        """Whether an answer has no score."""
        return any(answer.status != "scored" for answer in self.answers)

    def winners(self, seed: int) -> tuple[str, ...]:
        """The rows whose answer of this seed beats the opponent's."""
        return tuple(each.row for each in self.answers if each.seed == seed and each.verdict == "won")


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report shows. left_out: section -> what is not shown in it, and why."""

    title: str
    board: Leaderboard
    rate_curves: Sequence[RateCurve] = ()
    trajectories: Sequence[Trajectory] = ()
    drifts: Sequence[Drift] = ()
    categories: Sequence[Category] = ()
    lengths: Sequence[Length] = ()
    diversity: Sequence[Diversity] = ()
    forgetting: Sequence[Forgetting] = ()
    battles: Sequence[Battle] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def is_win_rate(metric: str) -> bool:
    """Whether a metric is a preference over an opponent, 0..100 with 50 for equals."""
    return "win_rate" in metric or metric.startswith("wwr")


def is_grade(metric: str) -> bool:
    """Whether a metric is a grade, 1..10."""
    return metric.startswith("score")
