"""What the history says about one cell: what to compare tonight with, how much nights differ, and the way since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ropo_bench.gate import maths
from ropo_bench.gate.maths import Noise, Reference
from ropo_bench.gate.night import Cell, Night, finished_cell

ANCHOR_NIGHTS = 5
"""With a rolling baseline, the first nights of a history (or since a new anchor) that drift is measured from."""

ENOUGH_DEGREES = 4.0
"""From fewer, a quantile of t is so far out that any other source of the noise is welcome."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fixed night, or (night None) the last `window` nights of the history."""

    night: Night | None = None
    window: int = 14

    def start(self, history: Sequence[Night]) -> int:
        """The place of the first night that belongs to it: later than a fixed one, or the newest anchor."""
        if self.night is not None:
            return sum(night.time <= self.night.time for night in history)
        return max((place for place, night in enumerate(history) if night.anchor), default=0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Values in the column's unit, higher or lower as measured.

    baseline: None where there is nothing to compare with. unchanged: tonight is the very measurement that the
    baseline is. noise: None where nothing says what fresh seeds do. anchor: None until its nights are complete.
    way: the measurements since the anchor, tonight last.
    """

    baseline: Reference | None
    unchanged: bool
    noise: Noise | None
    anchor: Reference | None
    way: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class _Run:
    """What one night says about the cell: its own measurement, and repeats of it with other seeds."""

    cell: Cell
    repeats: Sequence[Cell]
    regression: bool


def evidence(row: str, column: str, tonight: Night, history: Sequence[Night], baseline: Baseline) -> Evidence:
    """What is known about a cell that tonight has; only measurements on as many items count."""
    cell = tonight.cell(row, column)
    own = None if cell is None else _run(row, column, tonight, cell.items)
    assert cell is not None
    assert own is not None
    runs = [_run(row, column, night, cell.items) for night in history]
    since = [run for run in runs[baseline.start(history) :] if run is not None]
    if baseline.night is None:
        later, fixed = since[ANCHOR_NIGHTS:], []
        # Complete nights only: the anchor must not move while drift is measured from it.
        anchor = _mean(since[:ANCHOR_NIGHTS]) if len(since) >= ANCHOR_NIGHTS else None
        compared = [run.cell for run in since[-baseline.window :] if not run.regression]
    else:
        one = _run(row, column, baseline.night, cell.items)
        later, fixed = since, [] if one is None else [one]
        anchor = _mean(fixed) if fixed else None
        compared = [run.cell for run in fixed]
    others = [one for one in _distinct(compared) if one.measurement != cell.measurement]
    unchanged = bool(compared) and not others
    reference = others or ([cell] if unchanged else [])
    return Evidence(
        baseline=maths.median(*_numbers(reference)) if reference else None,
        unchanged=unchanged,
        noise=_noise([*fixed, *(run for run in runs if run is not None)], since, own),
        anchor=anchor,
        way=_news([*(run.cell for run in later), cell]),
    )


def _run(row: str, column: str, night: Night, items: int) -> _Run | None:
    """None where it was not measured, or on another number of items."""
    cell = night.cell(row, column)
    if cell is None or cell.items != items:
        return None
    repeats = [finished_cell(repeat, row, column) for repeat in night.repeats]
    same = [one for one in repeats if one is not None and one.items == items]
    return _Run(cell, same, night.verdicts.get(row, {}).get(column) == "REGRESSION")


def _numbers(cells: Sequence[Cell]) -> tuple[list[float], list[int]]:
    """Values and numbers of seeds."""
    return [cell.value for cell in cells if cell.value is not None], [cell.seeds for cell in cells]


def _distinct(cells: Iterable[Cell]) -> list[Cell]:
    """Each measurement once: a stored result that is shown again says nothing new."""
    return list({cell.measurement: cell for cell in cells}.values())


def _news(cells: Sequence[Cell]) -> list[Cell]:
    """Nights that measured nothing new are one with the night before; going back to an old result is news."""
    return [cell for place, cell in enumerate(cells) if not place or cell.measurement != cells[place - 1].measurement]


def _mean(runs: Sequence[_Run]) -> Reference:
    return maths.mean(*_numbers(_distinct(one for run in runs for one in (run.cell, *run.repeats))))


def _noise(every: Sequence[_Run], since: Sequence[_Run], tonight: _Run) -> Noise | None:
    """Variance of one seed: what fresh seeds do, or what nights do where that is more.

    Fresh seeds are those within a run, and repeats of a night. Nights of the same seeds say nothing about the re-run
    with fresh ones that has to confirm a suspicion, so without any fresh seed there is no noise floor.
    """
    groups: dict[str, list[Cell]] = {}
    for run in every:
        group = groups.setdefault(run.cell.measurement, [])
        group[:] = _distinct([*group, run.cell, *run.repeats])
    seeds = maths.pooled(part for group in groups.values() for part in _squares(group))
    if (seeds is None or seeds.degrees < ENOUGH_DEGREES) and tonight.cell.measurement not in groups:
        # Tonight's own seeds only where they are needed: a broken one among them would hide itself.
        own = _distinct([tonight.cell, *tonight.repeats])
        seeds = maths.pooled(part for group in [*groups.values(), own] for part in _squares(group))
    spread = maths.successive(*_numbers(_news([run.cell for run in since])))
    if seeds is None or spread is None or spread.degrees < ENOUGH_DEGREES:
        return seeds
    return maths.combined(seeds, spread)


def _squares(group: Sequence[Cell]) -> list[tuple[float, float]]:
    """(sum of squares, degrees) of the seeds of runs of the same code: within the runs, and between them."""
    parts = [((one.seeds - 1) * one.seed_sd**2, one.seeds - 1.0) for one in group if one.seed_sd is not None]
    if len(group) > 1:
        values, seeds = _numbers(group)
        centre = maths.mean(values, seeds).value
        parts.append((sum(s * (v - centre) ** 2 for v, s in zip(values, seeds, strict=True)), float(len(group) - 1)))
    return parts
