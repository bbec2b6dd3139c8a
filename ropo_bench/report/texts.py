"""What the answers themselves say: their length, and their diversity at the length that all rows share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.report.data import Diversity, Length
from ropo_bench.report.trained import Shelf
from ropo_bench.scoring.diversity import NGRAMS, distinct_n
from ropo_bench.statistics import measure
from ropo_bench.types import Completion, Score

_DIVERSITY = "diversity"  # the scorer
Place = tuple[str, int, int]
"""Prompt id, sample, turn."""
Texts = Mapping[Place, Sequence[str]]
"""The words of the answers of one model."""


def lengths(shelf: Shelf) -> list[Length]:
    """Mean number of tokens a conversation, of every row that has answered."""
    column = Column(metric="length", header="tokens", better="none")
    found = []
    for task in shelf.tasks:
        for row, seeds in shelf.answered_rows(task).items():
            scores = [[_score(one.prompt_id, "length", float(sum(one.num_tokens))) for one in each] for each in seeds]
            found += [Length(task.name, row, m) for m in measure(task.name, [column], scores)]
    return found


def diversity(shelf: Shelf) -> list[Diversity]:
    """distinct-n per prompt over all its samples, at matched length and whole, of every row that has answered."""
    found = []
    for task in shelf.tasks:
        if task.scorer != _DIVERSITY:
            continue
        whole = {row: [_words(one) for one in seeds] for row, seeds in shelf.answered_rows(task).items()}
        matched = cut_to_shortest(whole)
        for row, seeds in whole.items():
            found += _row(task, row, matched[row], seeds)
    return found


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
    cut, uncut = (measure(task.name, columns, [_distinct(one) for one in texts]) for texts in (matched, whole))
    means = [fmean([len(words) for one in texts for words in one.values()] or [0.0]) for texts in (matched, whole)]
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
