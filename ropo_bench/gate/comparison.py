"""The error of every comparison that the gate makes, each with the variance that it really has.

sigma^2: variance of one seed's value. tau^2: variance of a night, over nights of the same S seeds. f: variance of a
reference in units of a night's.

- tonight against nights of the same seeds:  tau^2 (1 + f).  The seeds' own effects cancel.
- fresh seeds against nights (a re-run), or tonight against a baseline of other seeds: sigma^2 (1 / S + 1 / S'): full on
  both sides, however many nights the reference has, for their seeds are the same.
- a re-run whose seeds a night has had as a repeat: reference + (repeat - that night) is where fresh seeds would lie if
  nothing had changed; their own effects cancel too, at tau^2 (1 + f + 2 / m - 2 c) with m such nights, of which
  c m n are among the n of the reference. Taken where it is the smaller variance of the two, not where it is the nicer
  result.

While nights alone have taught fewer than NIGHT_DEGREES, tau^2 is sigma^2 / S: an upper bound where nights differ by
their seeds alone, whatever share of the seeds' variance recurs; more where an F-test says that nights do more.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ropo_bench.gate import maths
from ropo_bench.gate.evidence import ENOUGH_DEGREES, Compared, Evidence
from ropo_bench.gate.maths import Noise
from ropo_bench.gate.night import Cell, Column

NIGHT_DEGREES = 8.0
"""Of nights of the same seeds (13 of them): from here on they alone say how much nights differ."""


class Floors(NamedTuple):
    """Both variances, with what a number cannot be known better than. source: of the nights' variance."""

    seeds: Noise
    nights: Noise
    source: str


class Error(NamedTuple):
    """Standard error of a difference and its degrees of freedom; expected: the value that nothing changed gives."""

    expected: float
    sd: float
    degrees: float


def floors(found: Evidence, cell: Cell, column: Column) -> Floors | None:
    """None where nothing says what fresh seeds do.

    A night's standard deviation is at least half a unit of the last shown decimal, and one item's share. Where seeds
    change nothing at all, a number that rounds otherwise, or one item that goes from good to bad (about two standard
    deviations of an item, shared by all items), is still no regression.
    """
    if found.seeds is None:
        return None
    item = 0.0 if cell.standard_error is None else 2 * cell.standard_error / math.sqrt(cell.items)
    least = max(0.5 * 10.0**-column.decimals, item) ** 2
    by_seeds = Noise(found.seeds.variance / cell.seeds, found.seeds.degrees)
    nights, source = by_seeds, "seeds"
    if found.nights is not None and found.nights.degrees >= NIGHT_DEGREES:
        nights, source = found.nights, "nights"
    elif found.nights is not None and found.nights.degrees >= ENOUGH_DEGREES:
        nights = maths.combined(by_seeds, found.nights)
        source = "nights" if nights == found.nights else "seeds" if nights == by_seeds else "seeds and nights"
    return Floors(
        Noise(max(found.seeds.variance, cell.seeds * least), found.seeds.degrees),
        Noise(max(nights.variance, least), nights.degrees),
        source,
    )


def error_tonight(noise: Floors, reference: Compared, seeds: int) -> Error:
    """Of tonight, of so many seeds, against a reference."""
    value, _, factor = reference.reference
    by_nights = noise.nights.variance * (1 + factor)
    if reference.same:
        return Error(value, math.sqrt(by_nights), noise.nights.degrees)
    return _fresh_error(noise, reference, seeds, by_nights)


def error_again(noise: Floors, reference: Compared, found: Evidence, seeds: int, which: tuple[int, ...]) -> Error:
    """Of a re-run with so many fresh seeds, namely `which` (() where not known), against a reference."""
    value, nights, factor = reference.reference
    known = [offset for offset in found.offsets if offset.seeds == which] if reference.same else []
    free = _fresh_error(noise, reference, seeds, noise.nights.variance * (1 + factor))
    if not known:
        return free
    shared = sum(offset.measurement in reference.measurements for offset in known)
    offset = sum(offset.value for offset in known) / len(known)
    variance = noise.nights.variance * (1 + factor + 2 / len(known) - 2 * shared / (nights * len(known)))
    paired = Error(value + offset, math.sqrt(variance), noise.nights.degrees)
    return paired if paired.sd <= free.sd else free


def _fresh_error(noise: Floors, reference: Compared, seeds: int, least: float) -> Error:
    variance = noise.seeds.variance * (1 / seeds + 1 / reference.seeds)
    degrees = noise.seeds.degrees if variance >= least else noise.nights.degrees
    return Error(reference.reference.value, math.sqrt(max(variance, least)), degrees)
