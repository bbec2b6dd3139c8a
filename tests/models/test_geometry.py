"""Worked examples of energy and angles, and what rotations keep."""

from __future__ import annotations

import math

import pytest
import torch

from ropo_bench.adapters.ropo.givens import rotate
from ropo_bench.models import geometry
from ropo_bench.models.geometry import energy_drift, hyperspherical_energy, neuron_angle_drift, orthogonality_error


def test_energy_of_two_and_of_three_neurons() -> None:
    right_angle = torch.tensor([[2.0, 0.0], [0.0, 0.1]])  # distance sqrt 2; lengths do not count
    assert hyperspherical_energy(right_angle, 1) == pytest.approx(2 / math.sqrt(2))
    assert hyperspherical_energy(right_angle, 2) == pytest.approx(2 / 2)
    assert hyperspherical_energy(right_angle, 0) == pytest.approx(2 * -math.log(math.sqrt(2)))
    with_opposite = torch.tensor([[2.0, 0.0], [0.0, 0.1], [0.0, -3.0]])
    assert hyperspherical_energy(with_opposite, 1) == pytest.approx(4 / math.sqrt(2) + 2 / 2)
    assert hyperspherical_energy(torch.cat([with_opposite, torch.zeros(1, 2)])) == pytest.approx(
        hyperspherical_energy(with_opposite)
    )


@pytest.mark.parametrize("s", [0, 1, 2])
def test_chunks_do_not_change_the_sums(s: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weight, other = torch.randn(2, 37, 9)
    whole = hyperspherical_energy(weight, s), neuron_angle_drift(weight, other)
    monkeypatch.setattr(geometry, "CHUNK_ROWS", 5)
    assert hyperspherical_energy(weight, s) == pytest.approx(whole[0], rel=1e-12)
    assert neuron_angle_drift(weight, other) == pytest.approx(whole[1], rel=1e-12)


@pytest.mark.parametrize("s", [1, 2])
def test_energy_is_the_sum_over_distances(s: int) -> None:
    weight = torch.randn(23, 7, dtype=torch.float64)
    distances = torch.pdist(torch.nn.functional.normalize(weight))
    assert hyperspherical_energy(weight, s) == pytest.approx(2 * (distances**-s).sum().item(), rel=1e-10)


def test_angle_drift_of_one_turned_neuron() -> None:
    turned = torch.tensor([[math.cos(0.25), math.sin(0.25)], [0.0, 1.0], [0.0, -1.0]])
    drift = neuron_angle_drift(turned, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    assert drift.max == pytest.approx(0.25, abs=1e-7)
    assert drift.mean == pytest.approx(0.25 * 4 / 6, abs=1e-7)


def test_rotation_and_magnitude_keep_angles_and_energy_and_noise_does_not() -> None:
    weight = torch.randn(64, 48)
    turned = rotate(weight, torch.randn(47), torch.randn(47)) * torch.rand(64, 1).add(0.1)
    assert abs(energy_drift(turned, weight)) < 1e-6
    assert neuron_angle_drift(turned, weight).max < 1e-5
    noisy = weight + 0.3 * torch.randn_like(weight) + 0.1
    assert abs(energy_drift(noisy, weight)) > 1e-4
    assert neuron_angle_drift(noisy, weight).max > 1e-2


def test_orthogonality_error() -> None:
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    assert orthogonality_error(turn) < 1e-15
    assert orthogonality_error(1.01 * turn) == pytest.approx(0.0201)
    assert orthogonality_error(torch.stack([turn, 1.01 * turn])) == pytest.approx(0.0201)


@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-9, 1e-7, 1e-5])
@pytest.mark.parametrize("s", [0, 1, 2])
def test_a_rotation_keeps_the_energy_of_neurons_that_almost_agree(s: int, apart: float) -> None:
    torch.manual_seed(0)
    weight = torch.randn(64, 48)
    weight[5], weight[7] = weight[9] + apart * torch.randn(48), -3 * weight[9]
    turned = rotate(weight, torch.randn(47), torch.randn(47)) * torch.rand(64, 1).add(0.1)
    assert math.isfinite(hyperspherical_energy(weight, s))
    assert abs(energy_drift(turned, weight, s)) < 1e-8
    assert neuron_angle_drift(turned, weight).max < 1e-6


def test_small_distances_do_not_come_from_cosines() -> None:
    weight = torch.eye(3, dtype=torch.float64)
    weight[1, 0], weight[1, 1] = 1.0, 3e-4  # cosines know this angle to 4e-13 / 3e-4 only
    angle = math.atan(3e-4)
    expected = 2 / (2 * math.sin(angle / 2)) + 4 / math.sqrt(2)
    assert hyperspherical_energy(weight) == pytest.approx(expected, rel=1e-12)
    moved = weight.clone()
    moved[1, 1] = 4e-4
    assert neuron_angle_drift(moved, weight).max == pytest.approx(math.atan(4e-4) - angle, rel=1e-9)


def test_equal_neurons_are_counted_as_nearest_ones() -> None:
    assert hyperspherical_energy(torch.ones(3, 4)) == pytest.approx(6 / geometry.NEAREST)
