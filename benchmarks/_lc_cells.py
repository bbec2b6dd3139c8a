"""Cells of length-controlled win rates where they are hard: near an end of the scale, and far from equal lengths.

The interval is whatever `ropo_bench.statistics.measure` gives for a column, so that a change of it is seen here.
Truth is what the estimator gives on 262,144 prompts that weigh 1 each, where regularisation has no say: by what it
draws the estimate in a table is bias. Shapes: S seeds, C prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats.qmc import Sobol

from benchmarks.coverage_lc import LARGE, POCKET, World, battles, rates
from ropo_bench.recipes.task import Column
from ropo_bench.scoring.length_control import Array, estimate
from ropo_bench.statistics.cells import measure
from ropo_bench.types import Score

SIZES = (40, 240, 805)
NEAR_4 = replace(POCKET, name="near 4 %", constant=-4.1, tie=0.0)
WORLDS = (
    *(replace(NEAR_4, num_prompts=n) for n in SIZES),
    *(replace(POCKET, name="2.5 sd longer", num_prompts=n, shift=-2.5, length=-2.0) for n in SIZES),
    *(replace(POCKET, name="2.5 sd shorter", num_prompts=n, shift=2.5, length=-2.0) for n in SIZES),
    *(replace(POCKET, name="2 sd longer", num_prompts=n, shift=-2.0, length=-2.0) for n in SIZES),
)
COLUMN = Column(metric="lc_win_rate", header="LC WR %", estimator="lc", scale=[0, 100])


@dataclass(frozen=True, slots=True)
class CellLine:
    """One world: coverage in percent, points elsewhere; outside: intervals that leave 0..100, in percent.

    raw: the win rate without length control.
    """

    world: str
    num_prompts: int
    tables: int
    raw: float
    truth: float
    bias: float
    coverage: float
    above: float
    below: float
    outside: float
    width: float


def simulate_cells(world: World, tables: int) -> CellLine:
    """Coverage of one checkpoint's cell in one world."""
    theta_1 = np.array([world.constant])
    whole = battles(world, theta_1, np.moveaxis(Sobol(7, rng=1).random(LARGE), -1, 0)[:, None])
    truth = float(rates(world, np.ones((1, LARGE)), whole)[0, 0])
    found = np.array(list(_cells(world, theta_1, tables)))
    value_T, low_T, high_T = found.T
    above, below = low_T > truth, high_T < truth
    return CellLine(
        world.name,
        world.num_prompts,
        tables,
        100 * float(whole[0].mean()),
        truth,
        float(value_T.mean()) - truth,
        100 * float((~above & ~below).mean()),
        100 * float(above.mean()),
        100 * float(below.mean()),
        100 * float(((low_T < 0) | (high_T > 100)).mean()),
        float((high_T - low_T).mean()),
    )


def _cells(world: World, theta_1: Array, tables: int) -> Iterator[tuple[float, float, float]]:
    """Value and ends of the interval of each table's cell."""
    for table in range(tables):
        draw = np.random.default_rng([11, world.num_prompts, table])
        columns = battles(world, theta_1, draw.random((7, 1, world.num_prompts)))
        estimators = {"lc": lambda scores: estimate(scores, gamed=world.gamed)}
        [cell] = measure("lc", [COLUMN], [_scores(*columns)], estimators)
        assert cell.value is not None
        assert cell.low is not None
        assert cell.high is not None
        yield cell.value, cell.low, cell.high


def _scores(preferences_1C: Array, delta_1C: Array, difficulty_C: Array) -> list[Score]:
    rows = zip(preferences_1C[0].tolist(), delta_1C[0].tolist(), difficulty_C.tolist(), strict=True)
    return [
        Score(f"p{i}", f"p{i}", COLUMN.metric, 100 * won, detail={"length_delta": delta, "difficulty": ease})
        for i, (won, delta, ease) in enumerate(rows)
    ]


def cells_markdown(lines: Sequence[CellLine]) -> str:
    """The table of docs/statistics.md."""
    rows = [
        "| world | prompts | tables | raw | truth | bias | coverage % | above / below % | outside 0..100 % | width |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {line.world} | {line.num_prompts} | {line.tables:,} | {line.raw:.1f} | {line.truth:.1f}"
        f" | {line.bias:+.1f} | {line.coverage:.1f} | {line.above:.1f} / {line.below:.1f}"
        f" | {line.outside:.1f} | {line.width:.1f} |"
        for line in lines
    ]
    return "\n".join(rows)
