"""The verdict on every cell and on the night: a non-inferiority test with Holm's correction, and a CUSUM.

Error budget of a night: ALPHA_NIGHT for the tests against the baseline, ALPHA_DRIFT for the CUSUMs against the
anchor. A re-run can only withdraw a suspicion, so a whole unchanged night is suspected at most so often, and called
REGRESSION more rarely still.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ropo_bench.errors import UsageError
from ropo_bench.gate import maths
from ropo_bench.gate.evidence import Baseline, Evidence, evidence
from ropo_bench.gate.maths import Noise, Reference
from ropo_bench.gate.night import Cell, Column, Night, Row, Verdict, finished_cell
from ropo_bench.statistics import holm

ALPHA_NIGHT = 0.04  # of all tests against the baseline together
ALPHA_DRIFT = 0.01  # of all CUSUMs together
ALPHA_GO = 0.05  # of each lower bound: a night is GO only if every cell is, so none needs a correction
ALPHA_AGAIN = 0.05  # of a re-run: the error is spent already, a re-run has only to repeat what was found
POWER = 0.8

EXIT_CODES: Mapping[Verdict, int] = {"REGRESSION": 1, "INCOMPLETE": 4, "SUSPECTED": 3, "INCONCLUSIVE": 3, "GO": 0}
"""The first of them that a cell has is the night's."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What to watch (None: all rows but the reference, all tested columns), and margins in a column's unit."""

    rows: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    margins: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CellVerdict:
    """One watched cell; difference, low and margin are turned so that positive is better.

    low: lower bound of the difference (one-sided, 1 - ALPHA_GO). margin: the loss that is no regression yet.
    p_value: one-sided, of "not worse than the baseline"; adjusted: Holm's over the night. night_sd: the noise floor,
    standard deviation of a night. drift: the CUSUM as a share of its threshold (1: alarm). again: the re-run's value.
    """

    row: str
    column: str
    verdict: Verdict
    reason: str
    tonight: float | None = None
    baseline: float | None = None
    difference: float | None = None
    low: float | None = None
    margin: float | None = None
    p_value: float | None = None
    adjusted: float | None = None
    night_sd: float | None = None
    degrees: float | None = None
    drift: float | None = None
    again: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on a night."""

    verdict: Verdict
    cells: Sequence[CellVerdict]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    @property
    def suspects(self) -> list[CellVerdict]:
        """The cells that a re-run with fresh seeds has to decide."""
        return [cell for cell in self.cells if cell.verdict == "SUSPECTED"]

    def by_row(self) -> dict[str, dict[str, Verdict]]:
        """Row -> column -> verdict, as a history keeps them."""
        found: dict[str, dict[str, Verdict]] = {}
        for cell in self.cells:
            found.setdefault(cell.row, {})[cell.column] = cell.verdict
        return found


class _Test(NamedTuple):
    """A cell that can be tested.

    noise: with its floor. shown: all of its verdict that needs no other cell. given: whether a suite says the margin.
    """

    cell: Cell
    sign: int
    found: Evidence
    noise: Noise
    shown: CellVerdict
    given: bool


def decide(
    tonight: Night,
    history: Sequence[Night],
    baseline: Baseline,
    rules: Rules | None = None,
    again: Mapping[str, Row] | None = None,
) -> Decision:
    """The verdict on tonight from the nights before it. again: a re-run of suspected cells with fresh seeds.

    Raises UsageError for a watched column that the night does not have, and where there is nothing to watch.
    """
    rules = rules or Rules()
    before = [night for night in history if night.time < tonight.time]
    names = watched(tonight, before, baseline, rules)
    tests = [_test(*name, tonight, before, baseline, rules.margins, len(names)) for name in names]
    adjusted = holm([1.0 if isinstance(test, CellVerdict) else test.shown.p_value or 0.0 for test in tests])
    cells = [
        test if isinstance(test, CellVerdict) else _verdict(test, p_value, again)
        for test, p_value in zip(tests, adjusted, strict=True)
    ]
    verdict = next(verdict for verdict in EXIT_CODES if any(cell.verdict == verdict for cell in cells))
    return Decision(verdict, cells)


def watched(tonight: Night, before: Sequence[Night], baseline: Baseline, rules: Rules) -> list[tuple[str, str]]:
    """(row, column) of all watched cells: rows of tonight and of the baseline (or the night before)."""
    known = [name for name, column in tonight.columns.items() if column.better != "none"]
    for name in [*(rules.columns or ()), *rules.margins]:
        if name not in known:
            raise UsageError(f"gate, column {name}: not in this run, or without a better direction; it has: {known}")
    columns = list(rules.columns) if rules.columns else [name for name in known if tonight.columns[name].tested]
    other = baseline.night or (before[-1] if before else None)
    rows = {**(other.rows if other else {}), **tonight.rows}
    names = list(rules.rows) if rules.rows else [name for name, row in rows.items() if not row.reference]
    if not (names and columns):
        raise UsageError("gate: nothing to watch: the run has no row beside the reference, or no tested column")
    return [(name, column) for name in names for column in columns]


def _test(
    row: str,
    column: str,
    tonight: Night,
    before: Sequence[Night],
    baseline: Baseline,
    margins: Mapping[str, float],
    num_cells: int,
) -> _Test | CellVerdict:
    """The test of a cell, or the verdict on one that cannot be tested."""
    cell = tonight.cell(row, column)
    if cell is None or cell.value is None:
        state = tonight.rows[row].state if row in tonight.rows else "the row is not in this run"
        return CellVerdict(row, column, "INCOMPLETE", "no value" if state == "done" else state)
    info = tonight.columns[column]
    sign = -1 if info.better == "lower" else 1
    found = evidence(row, column, tonight, before, baseline)
    shown = CellVerdict(row, column, "GO", "", tonight=cell.value)
    if found.baseline is None:
        return replace(shown, verdict="INCONCLUSIVE", reason="nothing to compare with yet")
    difference = sign * (cell.value - found.baseline.value)
    shown = replace(shown, baseline=found.baseline.value, difference=difference)
    if found.noise is None:
        if found.unchanged:
            return replace(shown, reason="the very measurement of the baseline")
        reason = "noise floor unknown: `nightly --repeat-seeds 5`, or several seeds, teach it"
        return replace(shown, verdict="INCONCLUSIVE", reason=reason)
    noise = _floored(found.noise, cell, info)
    error = math.sqrt(noise.variance * (1 / cell.seeds + found.baseline.factor))
    unit = 10.0**-info.decimals
    given = margins.get(column)
    margin = maths.detectable(error, noise.degrees, ALPHA_NIGHT / num_cells, POWER) if given is None else given
    shown = replace(
        shown,
        low=difference - maths.quantile(1 - ALPHA_GO, noise.degrees) * error,
        margin=max(margin, unit),
        p_value=maths.lower_tail(difference, error, noise.degrees),
        night_sd=math.sqrt(noise.variance / cell.seeds),
        degrees=noise.degrees,
        drift=_drift(found, noise, sign, ALPHA_DRIFT / num_cells, given),
    )
    return _Test(cell, sign, found, noise, shown, given is not None)


def _floored(noise: Noise, cell: Cell, column: Column) -> Noise:
    """A night's standard deviation is at least half a unit of the last shown decimal, and one item's share.

    Where seeds change nothing at all, a number that rounds otherwise, or one item that goes from good to bad (about
    two standard deviations of an item, shared by all items), is still no regression.
    """
    item = 0.0 if cell.standard_error is None else 2 * cell.standard_error / math.sqrt(cell.items)
    least = max(0.5 * 10.0**-column.decimals, item)
    return Noise(max(noise.variance, cell.seeds * least**2), noise.degrees)


def _drift(found: Evidence, noise: Noise, sign: int, alpha: float, margin: float | None) -> float | None:
    """The CUSUM of the losses against the anchor as a share of its threshold; None before there is an anchor."""
    if found.anchor is None:
        return None
    seeds = found.way[-1].seeds
    limits = maths.cusum_limits(alpha, noise.degrees, found.anchor.factor * seeds)
    losses = [
        sign * (found.anchor.value - cell.value) / math.sqrt(noise.variance / cell.seeds)
        for cell in found.way
        if cell.value is not None
    ]
    if margin is not None:  # a lasting loss of half of it is accepted
        limits = limits._replace(allowance=max(limits.allowance, margin / 2 / math.sqrt(noise.variance / seeds)))
    return maths.cusum(losses, limits) / limits.threshold


def _verdict(test: _Test, adjusted: float, again: Mapping[str, Row] | None) -> CellVerdict:
    shown = replace(test.shown, adjusted=adjusted)
    low, margin, drift = shown.low or 0.0, shown.margin or 0.0, shown.drift or 0.0
    worse = adjusted <= ALPHA_NIGHT and low <= -margin
    suspicions = {"worse than the baseline": test.found.baseline} if worse else {}
    if drift >= 1:
        suspicions["drifted below the anchor"] = test.found.anchor
    if not suspicions:
        return _unsuspected(test, shown, low > -margin)
    reason = " and ".join(suspicions)
    if again is None:
        return replace(shown, verdict="SUSPECTED", reason=f"{reason}; a re-run with fresh seeds decides")
    rerun = finished_cell(again, shown.row, shown.column)
    if rerun is None or rerun.value is None:
        return replace(shown, verdict="INCOMPLETE", reason=f"{reason}; the re-run with fresh seeds has no value")
    shown = replace(shown, again=rerun.value)
    if any(_is_worse(rerun, reference, test) for reference in suspicions.values()):
        return replace(shown, verdict="REGRESSION", reason=f"{reason}, and again with fresh seeds")
    return replace(shown, verdict="INCONCLUSIVE", reason=f"{reason}, but not again with fresh seeds")


def _unsuspected(test: _Test, shown: CellVerdict, is_within: bool) -> CellVerdict:
    """The verdict where nothing is suspected; is_within: whether the lower bound is above minus the margin."""
    if test.found.unchanged:
        return replace(shown, reason="the very measurement of the baseline")
    if not is_within:
        return replace(shown, verdict="INCONCLUSIVE", reason="a loss of the margin cannot be excluded")
    if not test.given and shown.adjusted is not None and shown.adjusted <= ALPHA_NIGHT:
        reason = "significantly worse, within a margin that is only what this night could detect"
        return replace(shown, verdict="INCONCLUSIVE", reason=reason)
    return replace(shown, reason="not worse by the margin")


def _is_worse(rerun: Cell, reference: Reference | None, test: _Test) -> bool:
    if reference is None or rerun.value is None:
        return False
    error = math.sqrt(test.noise.variance * (1 / rerun.seeds + reference.factor))
    difference = test.sign * (rerun.value - reference.value)
    return maths.lower_tail(difference, error, test.noise.degrees) <= ALPHA_AGAIN
