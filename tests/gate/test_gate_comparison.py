"""Every comparison has the variance that it has: worked examples, and simulations from the definitions alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, pvariance

import pytest

from ropo_bench.gate.autocorrelation import Autocorrelation, estimate_autocorrelation
from ropo_bench.gate.comparison import Floors, error_again, error_tonight, floors
from ropo_bench.gate.decision import decide
from ropo_bench.gate.evidence import Baseline, Compared, Evidence, Offset, evidence
from ropo_bench.gate.maths import Noise, mean
from ropo_bench.gate.night import Column, Night, Row
from tests.gate.nights import cell, night

OWN, FRESH = (0, 1, 2), (3, 4, 5)


def rows(values: Sequence[float], seeds: tuple[int, ...]) -> dict[str, Row]:
    return {"ropo": Row("done", {"chat.score": cell(values)}, seeds=seeds)}


def of(number: int, values: Sequence[float], *repeats: Sequence[float], seeds: tuple[int, ...] = OWN) -> Night:
    """A night with its seeds, and repeats with the seeds after them."""
    count = len(seeds)
    again = [rows(repeat, tuple(seed + count * place for seed in seeds)) for place, repeat in enumerate(repeats, 1)]
    return night(number, [], rows=rows(values, seeds), repeats=again)


def known(tonight: Night, history: Sequence[Night], baseline: Baseline) -> Evidence:
    return evidence("ropo", "chat.score", tonight, history, baseline)


@pytest.mark.parametrize("kind", ["fixed", "rolling"])
def test_repeats_feed_the_noise_and_never_what_is_compared_with(kind: str) -> None:
    """Fresh seeds that lie a whole point higher move neither anchor nor baseline, and widen the seeds' noise."""
    plain, repeated = of(1, [6.0, 6.1, 5.9]), of(1, [6.0, 6.1, 5.9], [7.0, 7.1, 6.9], [7.1, 7.2, 7.0])
    later = [of(number, [6.01, 6.11, 5.91]) for number in range(2, 8)]
    tonight = of(20, [6.02, 6.12, 5.92])
    if kind == "fixed":
        alone, with_repeats = (known(tonight, later, Baseline(one)) for one in (plain, repeated))
    else:
        alone, with_repeats = (known(tonight, [one, *later], Baseline()) for one in (plain, repeated))
    assert alone.anchor is not None
    assert with_repeats.anchor is not None
    assert alone.anchor.reference == with_repeats.anchor.reference
    assert alone.baseline is not None
    assert with_repeats.baseline is not None
    assert alone.baseline.reference == with_repeats.baseline.reference
    assert alone.nights == with_repeats.nights
    assert alone.seeds is not None
    assert with_repeats.seeds is not None
    assert with_repeats.seeds.variance > 2 * alone.seeds.variance
    assert [offset.seeds for offset in with_repeats.offsets] == [FRESH, (6, 7, 8)]
    assert [offset.value for offset in with_repeats.offsets] == pytest.approx([1.0, 1.1])


def test_an_anchor_of_five_nights_worked_by_hand() -> None:
    history = [of(number, [value] * 3) for number, value in enumerate([6.0, 6.2, 6.1, 5.9, 6.3, 9.0], 1)]
    found = known(of(20, [6.0] * 3), history, Baseline())
    assert found.anchor is not None
    assert found.anchor.reference == (pytest.approx(6.1), 5, 0.2)
    assert len(found.way) == 2  # the sixth night and tonight


def test_nights_of_other_seeds_are_neither_anchor_nor_way() -> None:
    """The offset of seeds 3, 4, 5 is not tonight's: it would add up night after night."""
    other = [of(number, [7.0, 7.1, 6.9], seeds=FRESH) for number in range(1, 7)]
    found = known(of(20, [6.0, 6.1, 5.9]), other, Baseline())
    assert found.anchor is None
    assert found.nights is None
    assert found.baseline is not None
    assert not found.baseline.same
    mixed = known(of(20, [6.0, 6.1, 5.9]), [*other, of(10, [6.0, 6.1, 5.9])], Baseline())
    assert mixed.baseline is not None
    assert (mixed.baseline.reference.value, mixed.baseline.same) == (pytest.approx(6.0), True)
    fixed = known(of(20, [6.0] * 3), [of(n, [6.0 + 0.01 * n] * 3) for n in range(2, 8)], Baseline(other[0]))
    assert fixed.anchor is not None
    assert fixed.anchor.reference.value == pytest.approx(6.04)  # of its own first five nights


NOISE = Floors(Noise(9.0, 12.0), Noise(0.5, 9.0), "nights", 1.0)


def compared(same: bool = True, nights: int = 4) -> Compared:
    return Compared(mean([10.0] * nights), [f"m{n}" for n in range(nights)], 3, same)


def with_offsets(*offsets: Offset) -> Evidence:
    return Evidence(None, False, None, None, None, [], offsets, FRESH, [], 6)


def test_errors_worked_by_hand() -> None:
    # Of nights, 4 of the same seeds: 0.5 (1 + 1/4). Of other seeds: 9/3 + (9/3 - 0.5) + 0.5/4. Of the seeds' variance
    # 5/6 recur, and that share six seeds have shown, not twelve degrees: 1 / ((5/6)^2 / 5 + (1/6)^2 / 12).
    fresh = (10.0, pytest.approx(5.625**0.5), pytest.approx(1 / (25 / 180 + 1 / 432)))
    assert error_tonight(NOISE, compared(), with_offsets(), 3) == (10.0, pytest.approx(0.625**0.5), 9.0)
    assert error_tonight(NOISE, compared(same=False), with_offsets(), 3) == fresh
    assert error_again(NOISE, compared(), with_offsets(), 3, FRESH) == fresh
    # While nights are not known, all of the seeds' variance may recur: 9/3 + 9/3.
    early = NOISE._replace(nights=Noise(3.0, 12.0), source="seeds")
    assert error_again(early, compared(), with_offsets(), 3, FRESH).sd == pytest.approx(6**0.5)
    # A repeat with these seeds, of a night of the reference: 0.5 (1 + 1/4 + 2 - 2/4), and its offset.
    paired = error_again(NOISE, compared(), with_offsets(Offset(FRESH, "m1", 2.0)), 3, FRESH)
    assert paired == (12.0, pytest.approx((0.5 * 2.75) ** 0.5), 9.0)
    assert error_again(NOISE, compared(), with_offsets(Offset((6, 7, 8), "m1", 2.0)), 3, FRESH).expected == 10.0


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_the_errors_are_those_of_nights_drawn_from_the_definition(share: float) -> None:
    """Seeds with effects of their own, drawn here from the definition: what the three comparisons really vary by."""
    draw, seeds, nights = random.Random(5), 3, 4
    tonight, free, paired = [], [], []
    for _ in range(8000):
        own, other = (fmean(draw.gauss(0, share**0.5) for _ in range(seeds)) for _ in range(2))

        def value(offset: float) -> float:
            return offset + fmean(draw.gauss(0, (1 - share) ** 0.5) for _ in range(seeds))

        before = [value(own) for _ in range(nights)]
        repeat, again = value(other), value(other)
        tonight.append(value(own) - fmean(before))
        free.append(again - fmean(before))
        paired.append(again - fmean(before) - (repeat - before[1]))
    noise = Floors(Noise(1.0, 99.0), Noise((1 - share) / seeds, 99.0), "nights", 1.0)
    assert error_tonight(noise, compared(), with_offsets(), seeds).sd ** 2 == pytest.approx(
        pvariance(tonight), rel=0.06
    )
    assert error_again(noise, compared(), with_offsets(), seeds, FRESH).sd ** 2 == pytest.approx(
        pvariance(free), rel=0.06
    )
    if share > 0.9:
        found = error_again(noise, compared(), with_offsets(Offset(FRESH, "m1", 0.0)), seeds, FRESH)
        assert found.sd**2 == pytest.approx(pvariance(paired), rel=0.06)


def test_who_has_taught_the_noise() -> None:
    column, tonight = Column(2, "higher", True), of(20, [6.0, 6.5, 5.5])
    draw = random.Random(2)

    def after(count: int) -> Floors:
        history = [of(n, [6 + draw.gauss(0, 0.02) + s for s in (0.5, -0.5, 0.0)]) for n in range(1, count + 1)]
        found = floors(known(tonight, history, Baseline()), tonight.rows["ropo"].cells["chat.score"], column, STILL)
        assert found is not None
        return found

    few, many = after(4), after(13)
    assert (few.source, many.source) == ("seeds", "nights")
    assert few.nights.variance == pytest.approx(few.seeds.variance / 3)
    assert many.nights.variance < 0.02 * many.seeds.variance  # the seeds' own effects are the same every night


STILL = Autocorrelation()


def test_a_repeat_of_the_fresh_seeds_lets_a_small_loss_be_confirmed() -> None:
    """Seeds 3, 4, 5 lie half a point higher: without the repeat, their re-run hides a loss of 0.2."""
    draw = random.Random(7)

    def near(values: Sequence[float]) -> list[float]:
        return [value + draw.gauss(0, 0.02) for value in values]

    own, other = [6.0, 6.5, 5.5], [6.5, 7.0, 6.0]
    history = [of(number, near(own)) for number in range(2, 20)]
    first = of(1, near(own), near(other))
    tonight = of(25, [value - 0.2 for value in near(own)])
    again = rows([value - 0.2 for value in near(other)], FRESH)
    with_repeat = decide(tonight, [first, *history], Baseline(), again=again)
    assert with_repeat.verdict == "REGRESSION"
    assert with_repeat.cells[0].expected == pytest.approx(6.5, abs=0.05)
    without = decide(tonight, [replace(first, repeats=()), *history], Baseline(), again=again)
    assert without.verdict == "INCONCLUSIVE"
    assert without.cells[0].margin is not None
    assert with_repeat.cells[0].margin is not None
    assert with_repeat.cells[0].margin < 0.2 < without.cells[0].margin


def test_the_autocorrelation_of_nights_is_learned_from_all_cells() -> None:
    draw = random.Random(1)

    def cells(ar: float) -> list[list[float]]:
        found = []
        for _ in range(16):
            values = [draw.gauss(0, 1)]
            while len(values) < 40:
                values.append(ar * values[-1] + draw.gauss(0, (1 - ar**2) ** 0.5))
            found.append(values)
        return found

    white, slow = estimate_autocorrelation(cells(0.0)), estimate_autocorrelation(cells(0.6))
    assert white.first <= 0.1
    assert white.long_run <= 1.6
    assert slow.first == pytest.approx(0.6, abs=0.12)
    assert 2.5 <= slow.long_run <= 5.0  # 4 by definition; what lasts over five nights counts as drift
    drifting = cells(0.0)
    drifting[3] = [value - 0.5 * night for night, value in enumerate(drifting[3])]
    assert estimate_autocorrelation(drifting).long_run <= 1.6  # one cell's drift is no wandering of all
    assert estimate_autocorrelation([values[:7] for values in cells(0.6)]) == Autocorrelation()
