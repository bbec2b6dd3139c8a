"""The gate's mathematics: noise of seeds and of nights, CUSUM, non-inferiority."""

from __future__ import annotations

import math
import random

import pytest

from ropo_bench.gate.cusum import Limits, cusum, cusum_limits
from ropo_bench.gate.maths import Noise, combine, detectable, lower_tail, mean, middle, pool, quantile, successive


def test_noise_is_pooled_by_degrees() -> None:
    assert pool([(4.0, 2.0), (9.0, 1.0)]) == Noise(13 / 3, 3.0)
    assert pool([]) is None


def test_successive_nights_worked_by_hand() -> None:
    # Steps 2, 1 and 2: half squares 2, 0.5, 2 without the largest: 2.5, over 3 less E max of three squared normals.
    found = successive([1.0, 3.0, 2.0, 4.0])
    assert found is not None
    draw = random.Random(0)
    simulated = sum(max(draw.gauss(0, 1) ** 2 for _ in range(3)) for _ in range(50_000)) / 50_000
    assert found.variance == pytest.approx(2.5 / (3 - simulated), rel=0.03)
    assert found.degrees == pytest.approx(2 * 9 / 8 - 1)
    assert successive([1.0, 3.0, 2.0]) is None


@pytest.mark.parametrize("nights", [8, 13, 30])
def test_the_variance_of_unchanged_nights_is_learned(nights: int) -> None:
    draw, runs = random.Random(3), 2000
    found = [successive([draw.gauss(0, 2) for _ in range(nights)]) for _ in range(runs)]
    variances = [noise.variance for noise in found if noise is not None]
    centre = sum(variances) / runs
    spread = sum((variance - centre) ** 2 for variance in variances) / runs
    assert found[0] is not None
    assert centre == pytest.approx(4.0, rel=0.1)
    assert 2 * centre**2 / spread == pytest.approx(found[0].degrees, rel=0.15)


def test_neither_a_drift_nor_a_change_enters_the_noise() -> None:
    draw = random.Random(0)
    noise = [draw.gauss(0, 1) for _ in range(200)]
    drifting = successive([value + 0.2 * night for night, value in enumerate(noise)])
    changed = successive([value + 50 * (night > 90) for night, value in enumerate(noise)])
    for found in (drifting, changed):
        assert found is not None
        assert found.variance == pytest.approx(1.0, abs=0.3)


def test_equal_sources_are_pooled_and_different_ones_are_not() -> None:
    assert combine(Noise(1.0, 10), Noise(1.2, 20)) == Noise(pytest.approx(34 / 30), 30)
    assert combine(Noise(1.0, 10), Noise(9.0, 20)) == Noise(9.0, 20)
    assert combine(Noise(0.0, 10), Noise(1.0, 20)) == Noise(1.0, 20)


def test_the_variance_of_a_median_is_not_understated() -> None:
    draw = random.Random(1)
    for nights in (1, 2, 3, 4, 5, 14):
        found = [middle([draw.gauss(0, 1) for _ in range(nights)]) for _ in range(4000)]
        observed = sum(one.value**2 for one in found) / len(found)
        assert observed <= 1.08 * found[0].factor
    assert middle([1.0, 5.0, 2.0]).value == 2.0


def test_a_mean_of_nights() -> None:
    assert mean([1.0, 4.0]) == (2.5, 2, 0.5)


@pytest.mark.parametrize("degrees", [2.0, 6.0, 40.0])
def test_the_detectable_loss_is_detected_four_times_in_five(degrees: float) -> None:
    draw, alpha = random.Random(2), 0.01
    loss, limit = detectable(1.0, degrees, alpha, 0.8), quantile(1 - alpha, degrees)
    found = 0
    for _ in range(20_000):
        sd = math.sqrt(draw.gammavariate(degrees / 2, 2) / degrees)
        found += (draw.gauss(0, 1) + loss) / sd > limit
    assert found / 20_000 == pytest.approx(0.8, abs=0.012)


def test_a_p_value_is_students() -> None:
    assert lower_tail(0.0, 1.0, 5) == pytest.approx(0.5)
    assert lower_tail(-2.015, 1.0, 5) == pytest.approx(0.05, abs=1e-4)


def test_cusum_worked_by_hand_and_held_at_its_threshold() -> None:
    limits = Limits(0.5, 3.0)
    assert cusum([2.0, 1.0, -1.0], limits) == pytest.approx(0.5)
    assert cusum([50.0], limits) == 3.0
    # One night as the anchor ends the alarm.
    assert cusum([50.0, 0.0], limits) == pytest.approx(2.5)


def test_without_anything_to_estimate_the_threshold_is_kingmans() -> None:
    limits = cusum_limits(0.01, 1e9, 0.0)
    assert limits.allowance == 0.5
    assert limits.threshold == pytest.approx(-math.log(0.01), rel=1e-6)


@pytest.mark.parametrize(("degrees", "anchor"), [(6.0, 1.0), (6.0, 0.2), (40.0, 0.2), (40.0, 1 / 15)])
def test_an_unchanged_night_is_rarely_in_alarm(degrees: float, anchor: float) -> None:
    draw, alpha, histories = random.Random(3), 0.05, 3000
    limits = cusum_limits(alpha, degrees, anchor)
    found = 0
    for _ in range(histories):
        sd = math.sqrt(draw.gammavariate(degrees / 2, 2) / degrees)
        centre = draw.gauss(0, math.sqrt(anchor))
        found += cusum([(centre - draw.gauss(0, 1)) / sd for _ in range(40)], limits) >= limits.threshold
    assert found / histories <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / histories)
