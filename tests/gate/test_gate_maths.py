from __future__ import annotations

import math
import random

import pytest

from ropo_bench.gate.maths import (
    Limits,
    Noise,
    combined,
    cusum,
    cusum_limits,
    detectable,
    lower_tail,
    mean,
    median,
    pooled,
    quantile,
    successive,
)


def test_noise_is_pooled_by_degrees() -> None:
    assert pooled([(4.0, 2.0), (9.0, 1.0)]) == Noise(13 / 3, 3.0)
    assert pooled([]) is None


def test_successive_nights_worked_by_hand() -> None:
    # Steps 2 and 1 of nights of one seed: (4/2 + 1/2) / 2; degrees 2 * 2^2 / (3 * 3 - 4).
    found = successive([1.0, 3.0, 2.0], [1, 1, 1])
    assert found is not None
    assert found.variance == pytest.approx(1.25)
    assert found.degrees == pytest.approx(8 / 5)
    assert successive([1.0], [1]) is None


def test_a_drift_hardly_enters_the_noise() -> None:
    draw = random.Random(0)
    noise = [draw.gauss(0, 1) for _ in range(200)]
    drifting = successive([value + 0.2 * night for night, value in enumerate(noise)], [1] * 200)
    assert drifting is not None
    assert drifting.variance == pytest.approx(1.0, abs=0.3)


def test_equal_sources_are_pooled_and_different_ones_are_not() -> None:
    assert combined(Noise(1.0, 10), Noise(1.2, 20)) == Noise(pytest.approx(34 / 30), 30)
    assert combined(Noise(1.0, 10), Noise(9.0, 20)) == Noise(9.0, 20)
    assert combined(Noise(0.0, 10), Noise(1.0, 20)) == Noise(1.0, 20)
    assert combined(None, Noise(1.0, 20)) == Noise(1.0, 20)


def test_the_variance_of_a_median_is_not_understated() -> None:
    draw = random.Random(1)
    for nights in (1, 2, 3, 4, 5, 14):
        found = [median([draw.gauss(0, 1) for _ in range(nights)], [1] * nights) for _ in range(4000)]
        observed = sum(one.value**2 for one in found) / len(found)
        assert observed <= 1.08 * found[0].factor
    assert median([1.0, 5.0, 2.0], [3, 3, 3]).value == 2.0


def test_a_mean_counts_every_seed_once() -> None:
    assert mean([1.0, 4.0], [1, 2]) == (3.0, 1 / 3)


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
