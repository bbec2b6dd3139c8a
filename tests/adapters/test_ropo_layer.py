"""What a RopoLinear keeps between forwards is never stale; a compiled model gives the same numbers."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ropo_bench.adapters import RopoConfig
from ropo_bench.adapters.ropo import RopoLinear
from ropo_bench.adapters.ropo.layer import RopoLayer

X = torch.linspace(-1, 1, 5 * 12).reshape(5, 12)


def layer(dtype: torch.dtype = torch.float32) -> RopoLinear:
    torch.manual_seed(0)
    made = RopoLinear(nn.Linear(12, 9).to(dtype), "default", RopoConfig())
    for parameter in (made.ropo_theta_forward, made.ropo_theta_reverse, made.ropo_magnitude):
        parameter["default"].data += 0.1 * torch.rand(parameter["default"].shape)
    return made


def test_row_norms_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, calls, compute = layer(), [], RopoLayer.base_norm
    monkeypatch.setattr(RopoLayer, "base_norm", lambda self: calls.append(1) or compute(self))
    for _ in range(3):
        made(X).sum().backward()
    assert len(calls) == 1


def stale_free(made: RopoLinear) -> Tensor:
    """The layer's result by its formula, from the weight as it is now."""
    weight = made.base_layer.weight.detach().float()
    rotated = made.rotate(X.to(made.base_layer.weight.dtype), "default", transpose=True).float()
    scale = made.ropo_magnitude["default"] / weight.norm(dim=1)
    bias = made.base_layer.bias.float()
    return (rotated @ weight.T) * scale + bias


@pytest.mark.parametrize("change", ["load", "assign", "write", "cast", "copy", "unmerge", "inference"])
def test_row_norms_follow_the_weight(change: str) -> None:
    made = layer()
    made(X)
    other = nn.Linear(12, 9).state_dict()
    match change:
        case "load":
            made.base_layer.load_state_dict(other)
        case "assign":
            made.base_layer.load_state_dict(other, assign=True)
        case "write":
            with torch.no_grad():
                made.base_layer.weight.mul_(2)
        case "cast":
            made.bfloat16()
            made.float()
        case "copy":
            made = copy.deepcopy(made)
            with torch.no_grad():
                made.base_layer.weight.mul_(3)
        case "unmerge":
            made.merge()
            made.unmerge()
        case "inference":
            with torch.inference_mode():
                made.base_layer.weight = nn.Parameter(other["weight"].clone(), requires_grad=False)
                made(X)
    with torch.no_grad():
        torch.testing.assert_close(made(X), stale_free(made))
    if change != "inference":
        made(X).sum().backward()


def test_a_forward_under_inference_mode_does_not_spoil_training() -> None:
    made = layer()
    with torch.inference_mode():
        before = made(X)
    made(X).sum().backward()
    assert torch.equal(made(X), before)


def test_saved_whole_and_loaded_again(tmp_path: Path) -> None:
    made = layer()
    y = made(X)
    torch.save(made, tmp_path / "layer.pt")
    assert torch.equal(torch.load(tmp_path / "layer.pt", weights_only=False)(X), y)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_without_a_break(dtype: torch.dtype) -> None:
    results: list[list[Tensor | None]] = []
    for compiled in (False, True):
        made = layer(dtype)
        run = torch.compile(made, backend="aot_eager", fullgraph=True) if compiled else made
        x = X.to(dtype, copy=True).requires_grad_()
        y = run(x)
        y.float().square().sum().backward()
        results.append([y.detach(), x.grad, *(p.grad for n, p in made.named_parameters() if "ropo_" in n)])
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(results[0], results[1], rtol=tolerance, atol=tolerance)
