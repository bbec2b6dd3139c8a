"""Worked examples of the choice, and simulations in which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from ropo_bench.statistics.sample import Array
from ropo_bench.tuning.choice import Curve, choose, peak_of
from ropo_bench.tuning.grid import grid_between, half_steps, is_near

GRID = grid_between(1e-6, 1.3e-4)


def curve(*values: Array | None) -> Curve:
    return Curve(GRID[: len(values)], [True] * len(values), values)


def test_the_peak_is_found_by_the_first_seed_and_the_choice_made_near_it_by_all() -> None:
    first = [10.0, 50.0, 60.0, 55.0, 59.0]
    others = [90.0, 50.0, 30.0, 58.0, 99.0]
    found = curve(*(np.array([[a] * 3, [b] * 3]) for a, b in zip(first, others, strict=True)))
    assert peak_of(found) == 2  # 60 by the first seed
    choice = choose(found, draws=50)
    assert choice is not None
    assert choice.index == 3  # near the peak 50, 45 and 56.5 by both; 79 at the fifth is two steps away
    assert choice.value == 56.5
    assert choice.corrected == 58.0  # every draw chooses it, and the second seed alone measures it
    assert choice.shares == (0, 0, 0, 1, 0)


def test_of_equal_rates_the_lowest_is_chosen() -> None:
    choice = choose(curve(*(np.full((2, 3), 50.0) for _ in range(4))), draws=20)
    assert choice is not None
    assert (choice.index, choice.value, choice.corrected) == (0, 50.0, 50.0)


def test_a_failed_rate_is_never_chosen() -> None:
    good = np.full((2, 4), 40.0)
    choice = choose(curve(None, good, None), draws=20)
    assert choice is not None
    assert choice.index == 1
    assert choice.shares == (0, 1, 0)
    assert choose(curve(None, None)) is None
    assert peak_of(curve(None, None)) is None


def test_a_point_of_the_refinement_is_no_peak_but_may_be_chosen() -> None:
    rates = sorted([*GRID[:3], *half_steps(GRID[1], GRID)])
    levels = {GRID[0]: 1.0, GRID[1]: 2.0, GRID[2]: 1.5, half_steps(GRID[1], GRID)[1]: 9.0}
    values = [np.full((2, 3), levels.get(rate, 0.0)) for rate in rates]
    found = Curve(rates, [rate in GRID for rate in rates], values)
    assert found.rates[peak_of(found) or 0] == GRID[1]
    choice = choose(found, draws=20)
    assert choice is not None
    assert choice.value == 9.0


def test_unscored_items_are_left_out_of_means() -> None:
    choice = choose(curve(np.array([[50.0, np.nan], [70.0, 90.0]]), np.array([[40.0, 40.0], [40.0, 40.0]])), draws=5)
    assert choice is not None
    assert choice.value == 65.0  # 50 by the one scored prompt of the first seed, 80 by the second


def test_one_seed_is_not_corrected() -> None:
    choice = choose(curve(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])), draws=20)
    assert choice is not None
    assert choice.corrected is None


def searched(random: np.random.Generator, truth: Array, num_prompts: int) -> Curve:
    """What the search measures where rates are worth `truth`, with the spread of a win rate."""
    prompts = 22 * random.standard_normal(num_prompts)

    def draw(place: float, seeds: int) -> Array:
        level = np.interp(place, range(len(truth)), truth)
        return level + prompts + 26 * random.standard_normal((seeds, num_prompts))

    values = {rate: draw(place, 1) for place, rate in enumerate(GRID)}
    peak = GRID[peak_of(Curve(GRID, [True] * len(GRID), list(values.values()))) or 0]
    for half in half_steps(peak, GRID):
        values[half] = draw(np.interp(half, GRID, range(len(GRID))), 1)
    for rate in [rate for rate in values if is_near(rate, peak)]:
        more = draw(float(np.interp(rate, GRID, range(len(GRID)))), 2)
        values[rate] = np.concatenate([values[rate], more])
    rates = sorted(values)
    return Curve(rates, [rate in GRID for rate in rates], [values[rate] for rate in rates])


def test_equal_rates_are_worth_what_they_are_after_correction() -> None:
    random = np.random.default_rng(0)
    choices = [choose(searched(random, np.full(8, 50.0), 100), draws=100, seed=n) for n in range(300)]
    plain = np.array([choice.value for choice in choices if choice])
    corrected = np.array([choice.corrected for choice in choices if choice])
    error = corrected.std() / np.sqrt(len(corrected))
    assert plain.mean() > 51.5
    assert corrected.mean() == pytest.approx(50, abs=3 * error)


def test_a_clear_peak_costs_nothing() -> None:
    random = np.random.default_rng(1)
    truth = np.array([50.0, 50, 50, 90, 50, 50, 50, 20])
    choices = [choose(searched(random, truth, 100), draws=50, seed=n) for n in range(60)]
    assert all(choice is not None and max(choice.shares) == 1 for choice in choices)
    corrected = np.array([choice.corrected for choice in choices if choice])
    assert corrected.mean() == pytest.approx(90, abs=3 * corrected.std() / np.sqrt(len(corrected)))
