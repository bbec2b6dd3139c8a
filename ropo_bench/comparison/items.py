"""Two rows against each other, item by item: which went the other way, and which prompts changed most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Literal

from ropo_bench.types import Comparison, Score

BATTLES = ("win_rate", "wwr")
"""What the names of metrics hold whose items are battles, 0..100: above 50 is won."""

Kind = Literal["answers", "battles", "grades"]


@dataclass(frozen=True, slots=True)
class Flips:
    """Items that went the other way between rows A and B, by name, and the number that both have scored.

    answers: right in the one, wrong in the other. battles: won and lost, against the opponent, or against each other
    where one row is the opponent. grades: higher in the one by more than `threshold`, one standard deviation of the
    grades of both. An item under several seeds counts as its mean.
    """

    kind: Kind
    better_in_a: tuple[str, ...]
    better_in_b: tuple[str, ...]
    n: int
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One prompt's value in rows A and B, and their answers to it (all turns), where the task keeps answers."""

    prompt: str
    category: str
    a: float
    b: float
    answer_a: tuple[str, ...] = ()
    answer_b: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComparedColumn:
    """One column of two rows. a, b: what the table shows; comparison: on the prompts that both have.

    comparison is None where nothing can be tested: everything is counted under one seed, or one prompt is common.
    detectable: the smallest true difference that is found four times in five (5 % two-sided, this test alone).
    """

    task: str
    metric: str
    header: str
    decimals: int
    better: str
    tested: bool
    a: float | None
    b: float | None
    n_unscored_a: int
    n_unscored_b: int
    comparison: Comparison | None = None
    detectable: float | None = None
    flips: Flips | None = None
    changes: Sequence[Change] = ()


@dataclass(frozen=True, slots=True)
class ComparedRows:
    """Two rows by their labels and numbers of seeds, with every column that both have."""

    a: str
    b: str
    num_seeds_a: int
    num_seeds_b: int
    columns: Sequence[ComparedColumn]


def flips(metric: str, a: Sequence[Sequence[Score]], b: Sequence[Sequence[Score]], better: str) -> Flips:
    """What went the other way on one metric; a, b: one sequence of scores a seed. better: "higher" or "lower"."""
    values_a, values_b = item_values(metric, a), item_values(metric, b)
    common = sorted(values_a.keys() & values_b.keys())
    seen = {score.value for scores in (*a, *b) for score in scores if score.metric == metric} - {None}
    threshold = None
    if any(name in metric for name in BATTLES):
        kind: Kind = "battles"
        values_a, values_b = _as_rivals(values_a, values_b), _as_rivals(values_b, values_a)
    elif seen <= {0.0, 100.0}:
        kind = "answers"
    else:
        kind = "grades"
        threshold = pstdev([values[item] for values in (values_a, values_b) for item in common]) if common else 0.0
    up: list[str] = []
    down: list[str] = []
    for item in common:
        first, second = values_a[item], values_b[item]
        if threshold is None:
            higher, lower = first > 50 > second, first < 50 < second
        else:
            higher, lower = first - second > threshold, second - first > threshold
        if higher or lower:
            (up if higher == (better != "lower") else down).append(item)
    return Flips(kind, tuple(up), tuple(down), len(common), threshold)


def _as_rivals(own: dict[str, float], others: dict[str, float]) -> dict[str, float]:
    """A row's battles; the opponent's are ties with itself, so what the other row wins of it is what it loses."""
    if any(value != 50 for value in own.values()):
        return own
    return {item: 100 - others[item] for item in own if item in others}


def item_values(metric: str, scores_by_seed: Sequence[Sequence[Score]], by_prompt: bool = False) -> dict[str, float]:
    """Item (or prompt) -> mean of its scored values over seeds (and turns, and samples)."""
    by_name: dict[str, list[float]] = defaultdict(list)
    for scores in scores_by_seed:
        for score in scores:
            if score.metric == metric and score.value is not None:
                by_name[score.cluster if by_prompt else score.item].append(score.value)
    return {name: fmean(values) for name, values in by_name.items()}


def find_most_changed(
    metric: str,
    a: Sequence[Sequence[Score]],
    b: Sequence[Sequence[Score]],
    top: int,
    categories: Mapping[str, str],
    answers: tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]] = ({}, {}),
) -> list[Change]:
    """The `top` prompts that are highest in A against B, then the `top` that are highest in B, the largest first.

    Equal changes stand in the order of their names. answers: of A and of B, prompt -> turns.
    """
    values_a, values_b = item_values(metric, a, by_prompt=True), item_values(metric, b, by_prompt=True)
    differences = {name: values_a[name] - values_b[name] for name in sorted(values_a.keys() & values_b.keys())}
    names = []
    for sign in (1, -1):
        moved = [name for name in differences if sign * differences[name] > 0]
        names += sorted(moved, key=lambda name: (-sign * differences[name], name))[:top]
    return [
        Change(
            name,
            categories.get(name, ""),
            values_a[name],
            values_b[name],
            answers[0].get(name, ()),
            answers[1].get(name, ()),
        )
        for name in names
    ]
