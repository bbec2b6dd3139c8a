"""Drift by fp32 products against the same in fp64, near neurons and small drifts included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ropo_bench.models import drift
from ropo_bench.models.drift import neuron_drift
from ropo_bench.models.geometry import energy_drift, neuron_angle_drift

DRAW = torch.Generator().manual_seed(0)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=DRAW)


BASE = noise(700, 48) * 0.02


def near(weight: Tensor) -> Tensor:
    """With pairs that point the same way, nearly the same way and opposite ways."""
    weight = weight.clone()
    weight[1] = weight[0]
    weight[3] = weight[2] * 1.001
    weight[5] = -weight[4] + 1e-6 * noise(weight.shape[1])
    weight[300] = weight[2] + 1e-3 * noise(weight.shape[1])
    return weight


def check(weight: Tensor, reference: Tensor) -> None:
    found, angles = neuron_drift(weight, reference), neuron_angle_drift(weight, reference)
    # The energy of a change is a sum of both signs, 1e-9 is what fp32 leaves of its parts.
    assert found.energy == pytest.approx(energy_drift(weight, reference), rel=1e-6, abs=1e-10)
    assert found.max_angle == pytest.approx(angles.max, rel=1e-5, abs=1e-9)
    assert found.mean_angle == pytest.approx(angles.mean, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("size", [1e-6, 1e-4, 1e-2, 1.0])
@pytest.mark.parametrize(
    "start", [BASE, near(BASE), BASE[:, :3], BASE[:1], BASE[:2]], ids=["any", "near", "flat", "one", "two"]
)
def test_as_in_fp64(start: Tensor, size: float) -> None:
    check(start + size * 0.02 * noise(*start.shape), start)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_other_dtypes(dtype: torch.dtype) -> None:
    check((BASE + 1e-3 * noise(*BASE.shape)).to(dtype), BASE.to(dtype))


def test_a_neuron_that_dies_or_awakes_leaves_it_to_fp64() -> None:
    dead, asleep = BASE.clone(), BASE.clone()
    dead[7] = asleep[9] = 0
    check(dead + 0, asleep)


def test_a_rotation_moves_no_angle() -> None:
    skew = noise(48, 48).double() * 1e-2
    turned = (BASE.double() @ torch.matrix_exp(skew - skew.T)).float()
    found = neuron_drift(turned, BASE)
    assert abs(found.energy) < 1e-9
    assert found.max_angle < 1e-6


def test_equal_weights_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "_directions", None)
    assert neuron_drift(BASE.half(), BASE) == (0, 0, 0)


def test_many_near_neurons_leave_it_to_fp64(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = torch.ones(300, 16) + 1e-2 * noise(300, 16)
    monkeypatch.setattr(drift._Sums, "drift", None)
    check(bundle + 1e-3 * noise(300, 16), bundle)
