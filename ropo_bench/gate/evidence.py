"""What the history says about one cell: what to compare tonight with, how much nights and seeds differ, and the way.

Nights use the same seeds, so a seed's own effect is in every one of them and cancels between them. What is compared
over nights (the baseline, the anchor, the way since) is therefore made of nights of tonight's seeds alone; repeats of
a night with other seeds say what fresh seeds do, and how far those seeds lie from the night's own, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ropo_bench.gate import maths
from ropo_bench.gate.blocks import Block, Run, distinct, news, run_of, values_of
from ropo_bench.gate.maths import Noise, Reference
from ropo_bench.gate.night import Cell, Night

ANCHOR_NIGHTS = 5
"""Without a fixed baseline of tonight's seeds: the first nights (since a new anchor) that drift is measured from."""

ENOUGH_DEGREES = 4.0
"""From fewer, a quantile of t is so far out that any other source of the noise is welcome."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What tonight is compared with: one fixed night, or, if `night` is None, the last `window` nights."""

    night: Night | None = None
    window: int = 14

    def start(self, tonight: Night, history: Sequence[Night]) -> int:
        """The place of the first night that belongs to it: later than a fixed one, or the newest anchor."""
        if self.night is not None:
            return sum(night.time <= self.night.time for night in history)
        nights = [*history, tonight]
        return max((place for place, night in enumerate(nights) if night.anchor), default=0)


class Compared(NamedTuple):
    """A reference and its measurements; seeds: the fewest of any; same: whether all have tonight's seeds."""

    reference: Reference
    measurements: Sequence[str]
    seeds: int
    same: bool


class Offset(NamedTuple):
    """A repeat with other seeds less its night's own measurement: how far those seeds lie from the night's own."""

    seeds: tuple[int, ...]
    measurement: str
    value: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Values in the column's unit, higher or lower as measured.

    baseline: None where there is nothing to compare with. unchanged: tonight is the very measurement that the
    baseline is. seeds: variance of one seed's value, None where nothing says what fresh seeds do. nights: variance
    of a night of tonight's seeds, None before there are four, learned from `series`, oldest first. anchor: None until
    its nights are complete. way: the measurements since the anchor, tonight last. fresh: the seeds that tonight's
    re-run has, () where they are not known. drawn: how many different seeds all of this has.
    """

    baseline: Compared | None
    unchanged: bool
    seeds: Noise | None
    nights: Noise | None
    anchor: Compared | None
    way: Sequence[Cell]
    offsets: Sequence[Offset]
    fresh: tuple[int, ...]
    series: Sequence[float]
    drawn: int


def evidence(row: str, column: str, tonight: Night, history: Sequence[Night], baseline: Baseline) -> Evidence:
    """What earlier nights say about a cell of tonight; only measurements on the same number of items count."""
    cell = tonight.cell(row, column)
    now = None if cell is None else run_of(row, column, tonight, cell.items)
    assert cell is not None
    assert now is not None
    runs = [run_of(row, column, night, cell.items) for night in history]
    since = [run for run in runs[baseline.start(tonight, history) :] if run is not None]
    fixed = None if baseline.night is None else run_of(row, column, baseline.night, cell.items)
    measured_runs = [run for run in (fixed, *runs) if run is not None]
    same = [run for run in since if run.own.matches(now.own)]
    held = [] if fixed is None else [fixed]
    paired = [run for run in held if run.own.matches(now.own)]
    if baseline.night is None:
        compared = [run for run in (same or since)[-baseline.window :] if not run.regression]
    else:
        compared = held
    others = [block for block in _blocks(compared) if block.cell.measurement != cell.measurement]
    unchanged = bool(compared) and not others
    first, later = (paired, same) if paired else (same[:ANCHOR_NIGHTS], same[ANCHOR_NIGHTS:])
    # Complete nights only: the anchor must not move while drift is measured from it.
    is_anchored = bool(paired) or len(same) >= ANCHOR_NIGHTS
    series = values_of(news([run.own.cell for run in [*paired, *same] if not run.regression]))
    return Evidence(
        baseline=_compare_blocks(maths.middle, others or ([now.own] if unchanged else []), now),
        unchanged=unchanged,
        seeds=_seeds(measured_runs, now),
        nights=maths.successive(series),
        anchor=_compare_blocks(maths.mean, _blocks(first), now) if is_anchored else None,
        way=news([*(run.own.cell for run in later), cell]),
        offsets=_offsets(measured_runs, now),
        fresh=_fresh(now),
        series=series,
        drawn=_num_seeds([*measured_runs, now]),
    )


def _blocks(runs: Sequence[Run]) -> list[Block]:
    """The nights' own measurements, each once; never their repeats: fresh seeds bring offsets of their own."""
    return list({run.own.cell.measurement: run.own for run in runs}.values())


def _compare_blocks(
    centre: Callable[[Sequence[float]], Reference], blocks: Sequence[Block], now: Run
) -> Compared | None:
    if not blocks:
        return None
    cells = [block.cell for block in blocks]
    return Compared(
        centre(values_of(cells)),
        [cell.measurement for cell in cells],
        min(cell.seeds for cell in cells),
        all(block.matches(now.own) for block in blocks),
    )


def _seeds(runs: Sequence[Run], now: Run) -> Noise | None:
    """Variance of one seed's value: from the seeds within each run, and from repeats of a night.

    Nights of the same seeds say nothing about the re-run with fresh ones that has to confirm a suspicion, so without
    any fresh seed there is no noise floor.
    """
    groups: dict[str, list[Cell]] = {}
    for run in runs:
        group = groups.setdefault(run.own.cell.measurement, [])
        group[:] = distinct([*group, run.own.cell, *(block.cell for block in run.repeats)])
    seeds = maths.pool(part for group in groups.values() for part in _squares(group))
    if (seeds is None or seeds.degrees < ENOUGH_DEGREES) and now.own.cell.measurement not in groups:
        # Tonight's own seeds only where they are needed: a broken one among them would hide itself.
        own = distinct([now.own.cell, *(block.cell for block in now.repeats)])
        seeds = maths.pool(part for group in [*groups.values(), own] for part in _squares(group))
    return seeds


def _squares(group: Sequence[Cell]) -> list[tuple[float, float]]:
    """How much seeds differ in runs of one code: (sum of squares, degrees) within each run, then between runs."""
    parts = [((cell.seeds - 1) * cell.seed_sd**2, cell.seeds - 1.0) for cell in group if cell.seed_sd is not None]
    if len(group) > 1:
        values, seeds = values_of(group), [cell.seeds for cell in group]
        centre = sum(v * s for v, s in zip(values, seeds, strict=True)) / sum(seeds)
        parts.append((sum(s * (v - centre) ** 2 for v, s in zip(values, seeds, strict=True)), float(len(group) - 1)))
    return parts


def _offsets(runs: Sequence[Run], now: Run) -> list[Offset]:
    """The offset of every repeat of a night that has tonight's seeds; repeats of unknown seeds are left out."""
    offsets: dict[tuple[str, str], Offset] = {}
    for run in runs:
        for block in run.repeats if run.own.matches(now.own) else ():
            if block.seeds and block.cell.value is not None and run.own.cell.value is not None:
                name = run.own.cell.measurement
                offset = Offset(block.seeds, name, block.cell.value - run.own.cell.value)
                offsets[name, block.cell.measurement] = offset
    return list(offsets.values())


def _num_seeds(runs: Sequence[Run]) -> int:
    """Seeds that an older history has not kept are taken to be the same in all its nights, and others in repeats."""
    blocks = [block for run in runs for block in (run.own, *run.repeats)]
    named = {seed for block in blocks for seed in block.seeds}
    own = max((run.own.cell.seeds for run in runs if not run.own.seeds), default=0)
    return max(len(named), own + sum(block.cell.seeds for run in runs for block in run.repeats if not block.seeds))


def _fresh(now: Run) -> tuple[int, ...]:
    """The seeds after all that tonight has, as many as its own."""
    if not now.own.seeds:
        return ()
    start = max(seed for block in (now.own, *now.repeats) for seed in block.seeds) + 1
    return tuple(range(start, start + len(now.own.seeds)))
