"""Diversity of the answers at the length that all rows share, because short answers repeat less."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.report.figures.forest import Value, forest, interval_of
from ropo_bench.report.figures.style import grid, marks
from ropo_bench.report.sections.metrics import DIVERSITY
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.report.sections.tables import Line, PlainTable, estimate, unique
from ropo_bench.scoring.diversity import NGRAMS, distinct_n
from ropo_bench.statistics.cells import measure
from ropo_bench.types import Completion, Measurement, Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Place = tuple[str, int, int]
"""Prompt id, sample, turn."""
Texts = Mapping[Place, Sequence[str]]
"""The words of the answers of one model."""


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


def gather(run: StoredRun) -> list[Diversity] | None:
    """distinct-n per prompt over all its samples, at matched length and whole, of every row that has answered."""
    diversities = []
    for task in run.tasks:
        if task.scorer != DIVERSITY:
            continue
        answered = run.answered_rows(task)
        whole = {row: [_words(completions) for completions in seeds] for row, seeds in answered.items()}
        matched = cut_to_shortest(whole)
        for row, seeds in whole.items():
            diversities += _row(task, row, matched[row], seeds)
    return diversities or None


def left_out(run: StoredRun, diversities: Sequence[Diversity] | None) -> str | None:
    """Rows that have not answered."""
    return run.missing(run.everyone, {diversity.row for diversity in diversities or ()})


def draw(diversities: Sequence[Diversity], board: Leaderboard) -> Figure | None:
    """A panel an n: every row's distinct-n at matched length, hollow the same before cutting."""
    groups: dict[tuple[str, int], dict[str, tuple[Value, Value]]] = {}
    for diversity in diversities:
        matched, whole = interval_of(diversity.matched), interval_of(diversity.whole)
        if matched is not None and whole is not None:
            groups.setdefault((diversity.task, diversity.n), {})[diversity.row] = matched, whole
    if not groups:
        return None
    tallest = max(map(len, groups.values()))
    figure, axes = grid(len(groups), 4, 2.6, 0.8 + 0.22 * tallest, sharey=True)
    styles = marks(board)
    tasks = {task for task, _ in groups}
    for panel, ((task, n), values) in zip(axes, groups.items(), strict=True):
        for place, (row, (_, whole)) in enumerate(values.items()):
            mark = styles[row]
            panel.plot(whole.value, place, mark.marker, markeredgecolor=mark.colour, markerfacecolor="none", zorder=2)
        forest(panel, {row: matched for row, (matched, _) in values.items()}, styles)
        panel.set_title(f"distinct-{n}" if len(tasks) == 1 else f"{task}: distinct-{n}")
        panel.set_xlabel("% of n-grams")
    return figure


def tables(diversities: Sequence[Diversity]) -> list[PlainTable]:
    """A table a task: rows by n, matched and whole, with the words of an answer."""
    by_task = []
    for task in unique(diversity.task for diversity in diversities):
        own = [diversity for diversity in diversities if diversity.task == task]
        lines = []
        for row in unique(diversity.row for diversity in own):
            by_n = sorted((diversity for diversity in own if diversity.row == row), key=lambda diversity: diversity.n)
            cells = [
                text for diversity in by_n for text in (estimate(diversity.matched, 1), estimate(diversity.whole, 1))
            ]
            lines.append(Line(row, [*cells, f"{by_n[0].num_words:.1f}", f"{by_n[0].whole_words:.1f}"]))
        sizes = sorted({diversity.n for diversity in own})
        values = [f"distinct-{n} {how}" for n in sizes for how in ("matched", "whole")]
        caption = f"{task}: distinct n-grams in percent ± standard error, at matched length and whole."
        by_task.append(PlainTable(caption, ["method", *values, "words matched", "words whole"], lines))
    return by_task


def cut_to_shortest(rows: Mapping[str, Sequence[Texts]]) -> dict[str, list[dict[Place, Sequence[str]]]]:
    """Every answer cut to the words of the shortest answer at its place, over all rows and seeds.

    A place that a model did not answer is left out of all.
    """
    models = [texts for seeds in rows.values() for texts in seeds]
    common = set.intersection(*(set(texts) for texts in models)) if models else set()
    shortest = {place: min(len(texts[place]) for texts in models) for place in common}
    return {
        row: [
            {place: words[: shortest[place]] for place, words in texts.items() if place in common} for texts in seeds
        ]
        for row, seeds in rows.items()
    }


def _row(task: TaskRecipe, row: str, matched: Sequence[Texts], whole: Sequence[Texts]) -> list[Diversity]:
    columns = [Column(metric=f"distinct_{n}", header=f"distinct-{n}") for n in NGRAMS]
    cut, uncut = (measure(task.name, columns, [_distinct(texts) for texts in seeds]) for seeds in (matched, whole))
    means = [
        fmean([len(words) for texts in seeds for words in texts.values()] or [0.0]) for seeds in (matched, whole)
    ]
    return [
        Diversity(task.name, row, n, left, right, means[0], means[1])
        for n, left, right in zip(NGRAMS, cut, uncut, strict=True)
    ]


def _words(completions: Sequence[Completion]) -> Texts:
    return {(c.prompt_id, c.sample, turn): text.split() for c in completions for turn, text in enumerate(c.turns)}


def _distinct(texts: Texts) -> list[Score]:
    by_prompt: dict[str, list[Sequence[str]]] = defaultdict(list)
    for place in sorted(texts):
        by_prompt[place[0]].append(texts[place])
    shares = {(prompt, n): distinct_n(answers, n) for prompt, answers in by_prompt.items() for n in NGRAMS}
    return [
        _score(prompt, f"distinct_{n}", None if share is None else 100 * share)
        for (prompt, n), share in shares.items()
    ]


def _score(prompt: str, metric: str, value: float | None) -> Score:
    return Score(prompt, prompt, metric, value, "unparsable" if value is None else "scored")


SECTION = Section(
    name="distinct-n",
    title="Distinct n-grams at matched length",
    caption=(
        "Every row's answer is cut to the words of the shortest row's answer to the same prompt and sample, because"
        " short answers repeat less. Hollow marks: the same before cutting."
    ),
    gather=gather,
    left_out=left_out,
    draw=draw,
    tables=tables,
)
