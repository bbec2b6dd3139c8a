"""Laws of the C functions one by one: the values and gradients of torch and transformers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from ropo_bench.training.core import elementwise

compiled = pytest.mark.skipif(elementwise.library() is None, reason="no C compiler with OpenMP")


@compiled
@pytest.mark.parametrize("width", [1, 7, 48, 768])
def test_norm_is_transformers_norm(width: int) -> None:
    torch.manual_seed(width)
    norm = LlamaRMSNorm(width, 1e-5)
    nn.init.normal_(norm.weight)
    x = (3 * torch.randn(2, 5, width)).requires_grad_()
    g = torch.randn(2, 5, width)
    inputs = [x, norm.weight]
    expected = torch.autograd.grad(norm.double()(x.double()), inputs, g.double())
    norm.float()
    got = torch.autograd.grad(elementwise.rms_norm(x, norm.weight, 1e-5), [x, norm.weight], g)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b.float(), rtol=1e-5, atol=1e-5)


@compiled
def test_swiglu_over_the_whole_range() -> None:
    gate = torch.cat([torch.linspace(-120, 120, 4001), torch.tensor([0.0, -0.0, 1e-30])]).requires_grad_()
    up, g = torch.linspace(-3, 3, len(gate)).requires_grad_(), torch.linspace(2, -1, len(gate))
    wide_gate, wide_up = gate.detach().double().requires_grad_(), up.detach().double().requires_grad_()
    expected = nn.functional.silu(wide_gate) * wide_up
    got = elementwise.swiglu(gate, up)
    torch.testing.assert_close(got, expected.float(), rtol=2e-6, atol=1e-30)
    wide = torch.autograd.grad(expected, [wide_gate, wide_up], g.double())
    for a, b in zip(torch.autograd.grad(got, [gate, up], g), wide, strict=True):
        torch.testing.assert_close(a, b.float(), rtol=1e-5, atol=1e-6)


@compiled
def test_swiglu_in_bf16_rounds_as_torch_does() -> None:
    torch.manual_seed(0)
    gate, up, g = (torch.randn(999, dtype=torch.bfloat16).requires_grad_() for _ in range(3))
    theirs, ours = nn.functional.silu(gate) * up, elementwise.swiglu(gate, up)
    for a, b in zip(
        (ours, *torch.autograd.grad(ours, [gate, up], g)), (theirs, *torch.autograd.grad(theirs, [gate, up], g)),
        strict=True,
    ):  # fmt: skip
        assert (a == b).float().mean() > 0.99
        torch.testing.assert_close(a, b, rtol=2**-7, atol=1e-4)


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_finite_stays_so(dtype: torch.dtype) -> None:
    bad = torch.tensor([float("nan"), float("inf"), -1.0], dtype=dtype)
    one = torch.ones(3, dtype=dtype)
    assert elementwise.swiglu(bad, one).isnan().tolist() == [True, False, False]
    assert elementwise.swiglu(one, bad).isfinite().tolist() == [False, False, True]
    assert elementwise.swiglu(bad, one)[1].isinf()


@compiled
def test_rotary_is_transformers_rotary() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 3, 12).transpose(1, 2).requires_grad_()  # (B, H, T, E), stored token by token
    angle = torch.rand(2, 5, 6).repeat(1, 1, 2)
    for cos, sin in ((angle.cos(), angle.sin()), (angle[:1].cos(), angle[:1].sin())):
        theirs = apply_rotary_pos_emb(x, x, cos, sin)[0]
        ours = elementwise.rotary(x, cos, sin)
        g = torch.randn(2, 3, 5, 12)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
        pair = [torch.autograd.grad(y, x, g)[0] for y in (ours, theirs)]
        torch.testing.assert_close(*pair, rtol=1e-6, atol=1e-6)
