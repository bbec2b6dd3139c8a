"""The error of every comparison that the gate makes, each with the variance that it really has.

sigma^2: variance of one seed's value. tau^2: variance of a night, over nights of the same S seeds. f: variance of a
reference in units of a night's.

- tonight against nights of the same seeds: tau^2 (1 + f). The seeds' own effects cancel.
- fresh seeds against nights (a re-run), or tonight against a baseline of other seeds: sigma^2 / S for the fresh,
  and f tau^2 + (sigma^2 / S' - tau^2) for the nights: the share of the seeds' variance that recurs is in every one
  of them, and no number of nights takes it away. Where tau^2 is not known from nights, all may recur: sigma^2 / S'.
- a re-run whose seeds a night has had as a repeat: reference + (repeat - that night) is where fresh seeds would lie
  if nothing had changed; all own effects cancel, at tau^2 (1 + f + 2 / m - 2 c / (m n)) with m such nights, c of
  them among the n of the reference. Taken where its variance is the smaller of the two.

While nights alone have taught fewer than NIGHT_DEGREES, tau^2 is sigma^2 / S: an upper bound where nights differ by
their seeds alone, whatever share of the seeds' variance recurs; more where an F-test says that nights do more.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ropo_bench.gate import maths
from ropo_bench.gate.autocorrelation import Autocorrelation
from ropo_bench.gate.evidence import ENOUGH_DEGREES, Compared, Evidence
from ropo_bench.gate.maths import Noise
from ropo_bench.gate.night import Cell, Column

NIGHT_DEGREES = 7.0
"""Of nights of the same seeds (13 of them): from here on they alone say how much nights differ."""


class Floors(NamedTuple):
    """Both variances, at least what a number is known to. source: of the nights'. long_run: of `Autocorrelation`."""

    seeds: Noise
    nights: Noise
    source: str
    long_run: float


class Error(NamedTuple):
    """Standard error of a difference and its degrees of freedom; expected: the value that nothing changed gives."""

    expected: float
    sd: float
    degrees: float


def floors(evidence: Evidence, cell: Cell, column: Column, autocorrelation: Autocorrelation) -> Floors | None:
    """The noise to expect of a cell (variance of a seed, of a night); None where nothing says what fresh seeds do.

    A night's standard deviation is at least half a unit of the last shown decimal, and one item's share. Where seeds
    change nothing at all, a number that rounds otherwise, or one item that goes from good to bad (about two standard
    deviations of an item, shared by all items), is still no regression.
    """
    if evidence.seeds is None:
        return None
    item = 0.0 if cell.standard_error is None else 2 * cell.standard_error / math.sqrt(cell.items)
    least = max(0.5 * 10.0**-column.decimals, item) ** 2
    by_seeds = Noise(evidence.seeds.variance / cell.seeds, evidence.seeds.degrees)
    nights, source = by_seeds, "seeds"
    if evidence.nights is not None and evidence.nights.degrees >= ENOUGH_DEGREES:
        # Steps between nights that wander are too small: their mean square is 2 tau^2 (1 - rho_1).
        alone = Noise(evidence.nights.variance / (1 - autocorrelation.first), evidence.nights.degrees)
        nights = alone if alone.degrees >= NIGHT_DEGREES else maths.combine(by_seeds, alone)
        source = "nights" if nights == alone else "seeds" if nights == by_seeds else "seeds and nights"
    return Floors(
        Noise(max(evidence.seeds.variance, cell.seeds * least), evidence.seeds.degrees),
        Noise(max(nights.variance, least), nights.degrees),
        source,
        autocorrelation.long_run,
    )


def error_tonight(noise: Floors, reference: Compared, evidence: Evidence, seeds: int) -> Error:
    """The error of tonight's number, a mean over so many seeds, minus a reference."""
    value, _, factor = reference.reference
    if reference.same:
        return Error(value, math.sqrt(noise.nights.variance * (1 + factor)), noise.nights.degrees)
    return _fresh_error(noise, reference, evidence, seeds)


def error_again(noise: Floors, reference: Compared, evidence: Evidence, seeds: int, fresh: tuple[int, ...]) -> Error:
    """The error of a re-run's number minus a reference. seeds: how many; fresh: which ones, () if not known."""
    value, nights, factor = reference.reference
    offsets = [offset for offset in evidence.offsets if offset.seeds == fresh] if reference.same else []
    free = _fresh_error(noise, reference, evidence, seeds)
    if not offsets:
        return free
    shared = sum(offset.measurement in reference.measurements for offset in offsets)
    offset = sum(offset.value for offset in offsets) / len(offsets)
    variance = noise.nights.variance * (1 + factor + 2 / len(offsets) - 2 * shared / (nights * len(offsets)))
    paired = Error(value + offset, math.sqrt(variance), noise.nights.degrees)
    return paired if paired.sd <= free.sd else free


def _fresh_error(noise: Floors, reference: Compared, evidence: Evidence, seeds: int) -> Error:
    value, _, factor = reference.reference
    sigma2, tau2 = noise.seeds.variance, noise.nights.variance
    recurring, nights, degrees = sigma2 / reference.seeds, 0.0, noise.seeds.degrees
    if noise.source == "nights":
        recurring, nights = max(0.0, recurring - tau2), factor * tau2
        # The spread of effects that recur is the same every night: it is known from so many seeds, not nights.
        share = recurring * reference.seeds / sigma2
        degrees = 1 / (share**2 / max(1, evidence.drawn - 1) + (1 - share) ** 2 / degrees)
    variance, least = sigma2 / seeds + recurring + nights, tau2 * (1 + factor)
    if variance < least:  # nights differ by more than their seeds
        return Error(value, math.sqrt(least), noise.nights.degrees)
    return Error(value, math.sqrt(variance), degrees)
