"""The C functions that scale neurons are the formula, to the rounding of the dtype."""

from __future__ import annotations

import pytest
import torch

from ropo_bench.adapters.ropo import kernels
from ropo_bench.adapters.ropo.magnitude import magnify


@pytest.fixture(autouse=True)
def _compiled() -> None:
    if kernels.path(torch.device("cpu")) != "c":
        pytest.skip("no C compiler here")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("neurons", [1, 16, 37])
def test_magnify_is_its_formula(dtype: torch.dtype, shifted: bool, neurons: int) -> None:
    generator = torch.Generator().manual_seed(0)
    z, g = torch.randn(2, 3, 23, neurons, generator=generator).to(dtype)
    scale, shift = torch.randn(2, neurons, generator=generator)
    found, wanted = [], []
    for results, work in ((found, dtype), (wanted, torch.float64)):
        leaves = [z.to(work, copy=True), scale.clone(), shift.clone()]
        leaves = [t.requires_grad_() if work == dtype else t.double().requires_grad_() for t in leaves]
        used = leaves if shifted else leaves[:2]
        out = magnify(*used) if work == dtype else leaves[0] * leaves[1] + (leaves[2] if shifted else 0)
        out.backward(g.to(work))
        results += [out.detach(), *(t.grad for t in used)]
    assert found[0].dtype == found[1].dtype == dtype
    rounding = {torch.float64: 1e-6, torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4}[dtype]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=rounding, atol=10 * rounding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_magnify_by_one_changes_no_bit(dtype: torch.dtype) -> None:
    z = torch.randn(70, 50).to(dtype)
    assert torch.equal(magnify(z, torch.ones(50)), z)
    assert torch.equal(magnify(z, torch.ones(50), torch.zeros(50)), z)
