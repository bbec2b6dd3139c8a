"""Tables with holes: unbiased, and nothing thrown away."""

from __future__ import annotations

import numpy as np
import pytest

from ropo_bench.statistics.crossed import linear_parts, sample_parts
from ropo_bench.statistics.incomplete import prompt_part, seed_effects
from ropo_bench.statistics.sample import Sample


def test_a_full_table_is_as_without_holes() -> None:
    values_SC = np.random.default_rng(0).normal(size=(4, 25))
    full = linear_parts(values_SC)
    prompts, _, rest, degrees_prompts, _, degrees_rest = prompt_part(values_SC)
    assert (prompts, rest) == pytest.approx((full.prompts, full.rest))
    assert (degrees_prompts, degrees_rest) == (full.degrees_prompts, full.degrees_rest)
    assert np.diff(seed_effects(values_SC)) == pytest.approx(np.diff(values_SC.mean(axis=1)))


def test_a_seed_that_lacks_the_hard_prompts_is_no_better_for_it() -> None:
    prompts_C, seeds_S = np.linspace(0, 9, 10), np.array([0.0, 2.0, -1.0])
    values_SC = prompts_C + seeds_S[:, None]
    values_SC[0, :4] = np.nan
    assert np.diff(seed_effects(values_SC)) == pytest.approx(np.diff(seeds_S))


def test_missing_cells_cost_little_and_nothing_is_thrown_away() -> None:
    """A fifth of five seeds' cells missing at random: by the prompts that all seeds have, 1.66 times the width."""
    draw = np.random.default_rng(1)
    covered, ratio = 0, []
    for _ in range(400):
        values_SC = 2 * draw.normal(size=(1, 80)) + draw.normal(size=(5, 80)) + 0.2 * draw.normal(size=(5, 1))
        names = [f"p{i}" for i in range(80)]
        whole = sample_parts(Sample.linear(names, values_SC))
        values_SC[draw.random((5, 80)) < 0.2] = np.nan
        sample = Sample.linear(names, values_SC)
        parts = sample_parts(sample)
        assert whole is not None
        assert parts is not None
        ratio.append(float(parts.half_width() / whole.half_width()))
        covered += abs(sample.value) <= parts.half_width()
    assert np.mean(ratio) < 1.12
    assert 0.92 < covered / 400 < 0.985
