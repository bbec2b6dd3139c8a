"""Training curves with their band over seeds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ropo_bench.report.sections.trajectories import Trajectory, band, running_mean


def test_a_running_mean_keeps_lines_and_length() -> None:
    line = [float(i) for i in range(100)]
    assert running_mean(line)[5:95] == pytest.approx(line[5:95])
    assert running_mean([1.0, 1.0, 1.0]) == [1.0, 1.0, 1.0]


def test_a_band_spans_the_seeds_as_far_as_all_of_them_go() -> None:
    seeds = [Trajectory("a", i, (1, 2, 3)[: 3 - i], {"x": (0.0, 2.0, 9.0)[: 3 - i]}) for i in (0, 1)]
    seeds[1] = replace(seeds[1], values={"x": (1.0, 4.0)})
    found = band(seeds, "x")
    assert found is not None
    assert (found.steps, found.mean, found.low, found.high) == ((1, 2), [0.5, 3.0], [0.0, 2.0], [1.0, 4.0])
    assert band([seeds[0], replace(seeds[1], values={})], "x") is None
