"""Do intervals of means over rows hold where prompts differ in rows? python -m benchmarks.coverage_ratio [--json]

Each table has prompts of one to three rows, whose number goes with how hard the prompt is, so that the mean over rows
and the mean of prompts are different numbers. Truth is E(sum of a prompt's rows) / E(number of rows), from 400,000
prompts. Cells come from the product's `measure`, the difference of two equal rows from its `compare`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ropo_bench.recipes.task import Column
from ropo_bench.statistics.cells import measure
from ropo_bench.statistics.comparisons import compare
from ropo_bench.types import Score

Array = NDArray[np.float64]
Rows = tuple[Array, Array]
"""Values (C, 3) and which of them are there (C, 3)."""
COLUMN = Column(metric="m", header="m", estimator="ratio")
MANY = 400_000


def unread_turns(ease_C: Array, draw: np.random.Generator) -> Rows:
    """Grades 1..10 of two turns; the second is unread where the prompt is easy and chance wills, 3 times in 8."""
    grades_C3 = np.clip(np.round(6.5 + 1.5 * ease_C[:, None] + 2 * draw.normal(size=(len(ease_C), 3))), 1, 10)
    grades_C3[:, 1] -= np.minimum(1, grades_C3[:, 1] - 1)
    here_C3 = np.zeros_like(grades_C3, dtype=bool)
    here_C3[:, 0], here_C3[:, 1] = True, ease_C + draw.normal(size=len(ease_C)) < 0.45
    return grades_C3, here_C3.astype(float)


def repeated(ease_C: Array, draw: np.random.Generator) -> Rows:
    """Wins and losses, 0 or 100; an instruction that is hard stands up to three times with one verdict."""
    won_C = 100.0 * (0.5 * ease_C + draw.logistic(size=len(ease_C)) > 0.4)
    times_C = 1 + (ease_C < -0.5) + (ease_C < -1.2)
    return np.repeat(won_C[:, None], 3, axis=1), (np.arange(3) < times_C[:, None]).astype(float)


WORLDS: Mapping[str, tuple[Callable[[Array, np.random.Generator], Rows], int]] = {
    "second turns unread, 80 questions": (unread_turns, 80),
    "instructions repeated, 240": (repeated, 240),
    "instructions repeated, 805": (repeated, 805),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One world: coverage and rejections of equal rows in percent, each with its Monte-Carlo error at 95 %."""

    world: str
    tables: int
    truth: float
    mean_of_prompts: float
    bias: float
    coverage: float
    coverage_error: float
    rejected: float
    rejected_error: float


def scores(rows: Rows) -> list[Score]:
    """The rows of one model as scored items."""
    values_C3, here_C3 = rows
    return [
        Score(f"p{c:04}:{r}", f"p{c:04}", "m", float(values_C3[c, r]))
        for c, r in zip(*np.nonzero(here_C3), strict=True)
    ]


def simulate(world: str, tables: int) -> Line:
    """Coverage of one row's interval, and how often two rows of one quality are told apart."""
    make, num_prompts = WORLDS[world]
    draw = np.random.default_rng(1)
    values, here = make(draw.normal(size=MANY), draw)
    truth = float((values * here).sum() / here.sum())
    by_prompt = float(((values * here).sum(axis=1) / here.sum(axis=1)).mean())
    inside, rejected, errors = 0, 0, []
    for table in range(tables):
        draw = np.random.default_rng([4, table])
        ease_C = draw.normal(size=num_prompts)
        a, b = (scores(make(ease_C, draw)) for _ in range(2))
        [cell] = measure("t", [COLUMN], [a])
        assert cell.value is not None
        assert cell.low is not None
        assert cell.high is not None
        inside += cell.low <= truth <= cell.high
        errors.append(cell.value - truth)
        [difference] = compare("t", [COLUMN], {"a": [a], "b": [b]}, None, [("a", "b")])
        rejected += difference.p_value < 0.05
    shares = [inside / tables, rejected / tables]
    within = [100 * 1.96 * (share * (1 - share) / tables) ** 0.5 for share in shares]
    return Line(
        world,
        tables,
        truth,
        by_prompt,
        float(np.mean(errors)),
        100 * shares[0],
        within[0],
        100 * shares[1],
        within[1],
    )


def main() -> None:
    """Print a line a world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    lines = [simulate(world, options.tables) for world in WORLDS]
    if options.json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
        return
    print("| world | truth | mean of prompts | bias | coverage % | equal rows told apart % |")
    print("|---|---:|---:|---:|---:|---:|")
    for line in lines:
        print(
            f"| {line.world} | {line.truth:.2f} | {line.mean_of_prompts:.2f} | {line.bias:+.3f}"
            f" | {line.coverage:.1f} ± {line.coverage_error:.1f} | {line.rejected:.1f} ± {line.rejected_error:.1f} |"
        )


if __name__ == "__main__":
    main()
