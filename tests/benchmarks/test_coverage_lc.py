"""The simulated worlds of length control: their truths, and that a few tables cover them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammaincinv

from benchmarks import _lc_cells, coverage_lc
from benchmarks._lc_cells import WORLDS, simulate_cells
from benchmarks.coverage_lc import POCKET, Setting, large_sample, simulate
from ropo_bench.scoring.length_control import logistic


@pytest.fixture(autouse=True)
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage_lc, "LARGE", 1 << 15)
    monkeypatch.setattr(_lc_cells, "LARGE", 1 << 15)


def test_truth_of_a_world_that_the_model_describes_is_the_mean_at_equal_lengths() -> None:
    plain = replace(POCKET, prompt=0.0, own=0.0, tie=0.0, num_prompts=100_000)
    difficulty = 1.5 * (gammaincinv(8, (np.arange(4000) + 0.5) / 4000) - 8) / np.sqrt(8)
    expected = 100 * logistic(plain.constant + plain.ease * difficulty).mean()
    assert float(large_sample(plain, 0.0)(plain.constant)) == pytest.approx(expected, abs=0.3)


def test_a_few_tables() -> None:
    one, three = simulate(Setting(POCKET, seed_counts=(1, 3)), 20)
    assert (one.num_seeds, three.num_seeds, one.tables) == (1, 3, 20)
    assert one.truth == pytest.approx(three.truth)
    for line in (one, three):
        assert line.coverage + line.above + line.below == pytest.approx(100)
        assert line.coverage >= 75
    assert 9 < one.width < 16
    (paired,) = simulate(Setting(POCKET, seed_counts=(1,), paired=True), 5)
    assert 5 < paired.truth < 10  # half a logit


def test_a_few_cells_where_they_are_hard() -> None:
    """Near 4 % of 100, and 2.5 standard deviations from equal lengths: the worlds are what they say."""
    near, longer = (next(world for world in WORLDS if world.name == name) for name in ("near 4 %", "2.5 sd longer"))
    line = simulate_cells(near, 10)
    assert 3.5 < line.truth < 5.0
    assert line.coverage + line.above + line.below == pytest.approx(100)
    line = simulate_cells(longer, 10)
    assert line.raw > line.truth + 20  # what length alone wins
    assert line.num_prompts == 40
