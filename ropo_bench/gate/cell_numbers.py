"""A cell's numbers before any verdict: difference, error, margin, p-value and drift.

Error budget of a night: ALPHA_NIGHT for the tests against the baseline, ALPHA_DRIFT for the CUSUMs against the
anchor. A re-run can only withdraw a suspicion, so a whole unchanged night is suspected at most so often, and called
REGRESSION more rarely still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from ropo_bench.gate import maths
from ropo_bench.gate.autocorrelation import Autocorrelation
from ropo_bench.gate.comparison import Floors, error_again, error_tonight, floors
from ropo_bench.gate.cusum import cusum, cusum_limits
from ropo_bench.gate.evidence import Evidence
from ropo_bench.gate.night import Cell, Night, Verdict

ALPHA_NIGHT = 0.04  # of all tests against the baseline together
ALPHA_DRIFT = 0.01  # of all CUSUMs together
ALPHA_GO = 0.05  # of each lower bound: a night is GO only if every cell is, so none needs a correction
ALPHA_AGAIN = 0.05  # of a re-run: the error is spent already, a re-run has only to repeat what was found
POWER = 0.8
POWER_AGAIN = 0.9  # of the re-run, so that both together rarely lose what the first has found


@dataclass(frozen=True, slots=True)
class CellVerdict:
    """One watched cell; difference, low and margin are turned so that positive is better.

    low: lower bound of the difference (one-sided, 1 - ALPHA_GO). margin: the loss that is no regression yet.
    p_value: one-sided, of "not worse than the baseline"; adjusted: Holm's over the night. error: standard error of
    the difference. night_sd: the noise floor, standard deviation of a night, known with so many degrees; noise: what
    taught it. drift: the CUSUM as a share of its threshold (1: alarm). again: the re-run's value; expected: what it
    was compared with, moved by how far its seeds lie from the night's where that is known.
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
    error: float | None = None
    night_sd: float | None = None
    degrees: float | None = None
    noise: str | None = None
    drift: float | None = None
    again: float | None = None
    expected: float | None = None


class MeasuredCell(NamedTuple):
    """A cell that can be tested, before the correction over all cells.

    verdict: its numbers so far; the word in it is not final. has_margin: whether the suite names the margin.
    """

    cell: Cell
    sign: int
    evidence: Evidence
    noise: Floors
    verdict: CellVerdict
    has_margin: bool


def measure_cell(
    name: tuple[str, str],
    tonight: Night,
    evidence: Evidence,
    autocorrelation: Autocorrelation,
    suite_margin: float | None,
    num_cells: int,
) -> MeasuredCell | CellVerdict:
    """The numbers of a measured cell (row, column), or the verdict on one that cannot be tested.

    suite_margin: None where the suite names none: then it is the loss that tonight can find.
    """
    cell, column = tonight.cell(*name), tonight.columns[name[1]]
    assert cell is not None
    verdict = CellVerdict(*name, "GO", "", tonight=cell.value)
    if evidence.baseline is None:
        return replace(verdict, verdict="INCONCLUSIVE", reason="nothing to compare with yet")
    sign = -1 if column.better == "lower" else 1
    value = evidence.baseline.reference.value
    difference = sign * ((cell.value or 0.0) - value)
    verdict = replace(verdict, baseline=value, difference=difference)
    noise = floors(evidence, cell, column, autocorrelation)
    if noise is None:
        if evidence.unchanged:
            return replace(verdict, reason="the very measurement of the baseline")
        reason = "noise floor unknown: `nightly --repeat-seeds 5`, or several seeds, teach it"
        return replace(verdict, verdict="INCONCLUSIVE", reason=reason)
    _, error, degrees = error_tonight(noise, evidence.baseline, evidence, cell.seeds)
    margin = detectable(noise, evidence, cell.seeds, num_cells) if suite_margin is None else suite_margin
    verdict = replace(
        verdict,
        low=difference - maths.quantile(1 - ALPHA_GO, degrees) * error,
        margin=max(margin, 10.0**-column.decimals),
        p_value=maths.lower_tail(difference, error, degrees),
        error=error,
        night_sd=math.sqrt(noise.nights.variance),
        degrees=noise.nights.degrees,
        noise=noise.source,
        drift=_drift(evidence, noise, sign, ALPHA_DRIFT / num_cells, suite_margin),
    )
    return MeasuredCell(cell, sign, evidence, noise, verdict, suite_margin is not None)


def detectable(noise: Floors, evidence: Evidence, seeds: int, num_cells: int) -> float:
    """The loss that tonight's corrected test finds in POWER of all nights, and its re-run in POWER_AGAIN."""
    assert evidence.baseline is not None
    _, error, degrees = error_tonight(noise, evidence.baseline, evidence, seeds)
    by_tonight = maths.detectable(error, degrees, ALPHA_NIGHT / num_cells, POWER)
    _, error, degrees = error_again(noise, evidence.baseline, evidence, seeds, evidence.fresh)
    return max(by_tonight, maths.detectable(error, degrees, ALPHA_AGAIN, POWER_AGAIN))


def _drift(evidence: Evidence, noise: Floors, sign: int, alpha: float, margin: float | None) -> float | None:
    """How far the cell drifted below the anchor: CUSUM of losses over its threshold (1: alarm). None: no anchor."""
    if evidence.anchor is None:
        return None
    reference, night_sd = evidence.anchor.reference, math.sqrt(noise.nights.variance * noise.long_run)
    factor = min(reference.factor, 1 / noise.long_run)  # no mean varies more than one of its nights
    limits = cusum_limits(alpha, noise.nights.degrees, factor)
    losses = [sign * (reference.value - cell.value) / night_sd for cell in evidence.way if cell.value is not None]
    if margin is not None:  # a lasting loss of half of it is accepted
        limits = limits._replace(allowance=max(limits.allowance, margin / 2 / night_sd))
    return cusum(losses, limits) / limits.threshold
