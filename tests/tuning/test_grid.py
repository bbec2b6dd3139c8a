"""Which rates are tried."""

from __future__ import annotations

from itertools import pairwise
from math import log10

import pytest

from ropo_bench.recipes.load import load_methods, load_suite
from ropo_bench.tuning.grid import grid_around, grid_between, half_steps, is_near


def test_pockets_grid_is_twelve_factors_of_two() -> None:
    suite = load_suite("pocket")
    rates = [method.train.lr for method in load_methods("all", suite=suite)]
    grid = grid_around(rates)
    assert grid[:5] == [1.6e-5, 3.2e-5, 6.4e-5, 1.28e-4, 2.56e-4]
    assert len(grid) == 12
    assert all(high / low == pytest.approx(2, rel=0.01) for low, high in pairwise(grid))
    assert grid[0] <= min(rates) / 4
    assert grid[-1] >= max(rates) * 4


@pytest.mark.parametrize("guess", [5e-7, 1e-4, 0.3])
def test_one_guess_has_three_decades_around_it(guess: float) -> None:
    grid = grid_around([guess])
    assert len(grid) == 11
    assert log10(grid[-1] / grid[0]) == pytest.approx(3, abs=0.02)
    assert grid[4] < guess < grid[7]


def test_a_wider_grid_has_the_points_of_a_narrower_one() -> None:
    assert set(grid_between(1e-5, 1e-3)) <= set(grid_around([1e-4])) <= set(grid_between(1e-7, 1.0))


def test_half_steps_stay_inside_the_grid() -> None:
    grid = grid_between(1e-5, 1e-4)
    assert grid == [1.6e-5, 3.2e-5, 6.4e-5]
    assert half_steps(3.2e-5, grid) == [2.26e-5, 4.53e-5]
    assert half_steps(1.6e-5, grid) == [2.26e-5]
    assert half_steps(6.4e-5, grid) == [4.53e-5]


def test_near_is_one_step() -> None:
    grid = grid_between(1e-6, 1.0)
    for place, rate in enumerate(grid):
        assert [other for other in grid if is_near(other, rate)] == grid[max(0, place - 1) : place + 2]
        assert all(is_near(half, rate) for half in half_steps(rate, grid))
