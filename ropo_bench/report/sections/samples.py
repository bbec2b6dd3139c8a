"""Answers side by side: every prompt with what each row answered, its grade, and whether it won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

from ropo_bench.errors import RopoBenchError, first_line
from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.report.sections.metrics import DIVERSITY, EVEN, is_win_rate, main_column
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.stored import RowModel, StoredRun
from ropo_bench.scoring.gold import sample_name
from ropo_bench.sources.prompts import read_answers, read_prompts
from ropo_bench.types import Completion, Prompt, Score, Status

MAX_CHARACTERS = 2_000_000
"""Of the answers of all seeds: above it a report shows seed 0 alone, and stays below 8 MB."""
_SEED_0_ALONE = "answers of seeds other than 0, which would make this file too large"
_WORST: Sequence[Status] = ("infrastructure-failed", "unparsable", "scored")
Verdict = Literal["won", "lost", "tie"]


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
        return tuple(answer.row for answer in self.answers if answer.seed == seed and answer.verdict == "won")


@dataclass(frozen=True, slots=True)
class Samples:
    """The battles that a report shows, and a line for each thing that it does not."""

    battles: Sequence[Battle]
    left_out: Sequence[str] = ()


def gather(run: StoredRun) -> Samples | None:
    """The first sample of every prompt of every judged task."""
    tasks = [task for task in run.tasks if task.prompts is not None and task.scorer != DIVERSITY]
    answered = {task.name: [(m, c) for m in run if (c := run.completions(m, task)) is not None] for task in tasks}
    size = sum(len(turn) for models in answered.values() for _, own in models for c in own for turn in c.turns)
    battles: list[Battle] = []
    lines: list[str] = []
    if size > MAX_CHARACTERS:
        lines.append(_SEED_0_ALONE)
    for task in tasks:
        models = [(m, c) for m, c in answered[task.name] if size <= MAX_CHARACTERS or m.seed == 0]
        try:
            battles += _battles(run, task, models)
        except RopoBenchError as error:
            lines.append(f"{task.name}: {first_line(error)}")
    return Samples(battles, lines) if battles or lines else None


def left_out(run: StoredRun, samples: Samples | None) -> str | None:
    """What could not be had or would be too much, and models that have not answered."""
    data = samples or Samples(())
    answered = {(answer.row, answer.seed) for battle in data.battles for answer in battle.answers}
    shown = [place for place in run.everyone if place[1] == 0 or _SEED_0_ALONE not in data.left_out]
    missing = run.missing(shown, answered)
    return "; ".join([*data.left_out, *([] if missing is None else [missing])]) or None


def details(samples: Samples, board: Leaderboard) -> dict[str, Any]:
    """The battles as the page's scripts read them (see matching.js), and what the filters offer."""
    if not samples.battles:
        return {}
    return {"battles": [_as_json(battle) for battle in samples.battles], "choices": _choices(samples.battles, board)}


def _choices(battles: Sequence[Battle], board: Leaderboard) -> dict[str, list[str]]:
    """What the filters offer, in the order of the data."""
    answers = [answer for battle in battles for answer in battle.answers]
    return {
        "task": list(dict.fromkeys(battle.task for battle in battles)),
        "category": sorted({battle.category for battle in battles if battle.category}),
        "row": list(dict.fromkeys(answer.row for answer in answers)),
        "seed": [str(seed) for seed in sorted({answer.seed for answer in answers})],
        "first": [row.name for row in board.ordered_rows if not row.reference][:1],
    }


def _as_json(battle: Battle) -> dict[str, Any]:
    answers = [
        {
            "row": answer.row, "seed": answer.seed, "turns": answer.turns, "tokens": answer.num_tokens,
            "value": answer.value, "grades": answer.grades, "status": answer.status, "verdict": answer.verdict,
        }
        for answer in battle.answers
    ]  # fmt: skip
    return {
        "task": battle.task, "id": battle.prompt_id, "category": battle.category, "prompt": battle.prompt,
        "metric": battle.metric, "decimals": 1 if is_win_rate(battle.metric) else 2,
        "opponent": battle.opponent, "opponentTurns": battle.opponent_turns, "answers": answers,
    }  # fmt: skip


def _battles(
    run: StoredRun, task: TaskRecipe, models: Sequence[tuple[RowModel, Sequence[Completion]]]
) -> list[Battle]:
    assert task.prompts is not None
    scored = {id(model): run.scores(model, task) or [] for model, _ in models}
    column = next((c for scores in scored.values() if (c := main_column(task, scores)) is not None), None)
    if column is None:
        return []
    prompts = read_prompts(task.prompts)
    fixed = _first(read_answers(task.baseline, prompts)) if task.baseline and is_win_rate(column.metric) else {}
    answering = [
        (model, _first(completions), {s.item: s for s in scored[id(model)] if s.metric == column.metric})
        for model, completions in models
    ]
    opponent = task.baseline if fixed and task.baseline else run.reference
    battles = []
    for prompt in prompts:
        answers = [_answer(model, prompt, texts[prompt.id], s) for model, texts, s in answering if prompt.id in texts]
        theirs = next((answer.value for answer in answers if answer.row == opponent), None)
        judged = tuple(_judge(answer, column, opponent, theirs) for answer in answers)
        turns = fixed[prompt.id].turns if prompt.id in fixed else ()
        battles.append(
            Battle(task.name, prompt.id, prompt.category, prompt.turns, column.metric, opponent, turns, judged)
        )
    return battles


def _first(completions: Sequence[Completion]) -> dict[str, Completion]:
    return {completion.prompt_id: completion for completion in completions if completion.sample == 0}


def _answer(model: RowModel, prompt: Prompt, completion: Completion, scores: Mapping[str, Score]) -> Answer:
    """An answer with its grades; the verdict is still to come."""
    names = [sample_name(f"{prompt.id}:{turn}", 0) for turn in range(1, len(prompt.turns) + 1)]
    by_turn = [scores[name] for name in names if name in scores]
    graded = by_turn or [scores[name] for name in [prompt.id] if name in scores]
    values = [score.value for score in graded if score.value is not None]
    return Answer(
        model.row,
        model.seed,
        completion.turns,
        sum(completion.num_tokens),
        fmean(values) if values and len(values) == len(graded) else None,
        tuple(score.value for score in by_turn),
        min((score.status for score in graded), key=_WORST.index, default="infrastructure-failed"),
        None,
    )


def _judge(answer: Answer, column: Column, opponent: str, theirs: float | None) -> Answer:
    """The answer with its verdict: a preference against even, a grade against the opponent's."""
    against = EVEN if is_win_rate(column.metric) else theirs
    if answer.row == opponent or answer.value is None or against is None:
        return answer
    won = answer.value > against if column.better == "higher" else answer.value < against
    verdict: Verdict = "tie" if answer.value == against else "won" if won else "lost"
    return replace(answer, verdict=verdict)


SECTION = Section(
    name="samples",
    title="Answers side by side",
    caption="What each row answered, and what the judge made of it. Flipped: won by one row shown, lost by another.",
    gather=gather,
    left_out=left_out,
    template="samples.html",
    details=details,
)
