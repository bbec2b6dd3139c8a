"""torch.compile on the layers: the same numbers, few graphs, gone afterwards."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch import nn
from torch._dynamo.utils import counters

from ropo_bench.adapters import RopoConfig
from ropo_bench.recipes.method import CoreRecipe
from ropo_bench.training.core import elementwise, layers
from ropo_bench.training.core.compiling import compile_layers
from ropo_bench.training.core.switches import switched


@pytest.fixture
def without_inductor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs as in real life, but run by torch's own kernels: code generation takes minutes and is not ours."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(nn.Module, "compile", lambda self, **kwargs: _compile(self, backend="aot_eager", **kwargs))
    torch._dynamo.reset()
    counters.clear()


_compile = nn.Module.compile


def passes(model: Any, num_tokens: int) -> list[torch.Tensor]:
    """Logits and trainable gradients of a row of so many tokens."""
    model.zero_grad()
    logits = model(input_ids=torch.arange(num_tokens)[None] % 200, use_cache=False).logits
    logits.log_softmax(-1)[..., 7].sum().backward()
    return [logits.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@pytest.mark.usefixtures("without_inductor")
def test_compiled_layers_compute_the_same_at_any_length_with_the_same_graphs(llama: Any) -> None:
    model = get_peft_model(llama, RopoConfig(target_modules=["q_proj", "v_proj"]))
    lengths = (9, 23, 14)
    expected = [passes(model, n) for n in lengths]
    names = list(model.state_dict())
    compile_layers(model)
    graphs = []
    for length, wanted in zip(lengths, expected, strict=True):
        for a, b in zip(passes(model, length), wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] > 0
    assert len(set(graphs)) == 1
    assert list(model.state_dict()) == names


@pytest.mark.skipif(elementwise.library() is None, reason="no C compiler with OpenMP")
def test_modules_with_a_c_function_are_left_alone(llama: Any) -> None:
    layers.install(llama)
    own = {name: vars(module)["forward"] for name, module in llama.named_modules() if "forward" in vars(module)}
    compile_layers(llama)
    assert not [name for name, module in llama.named_modules() if module._compiled_call_impl is not None]
    assert {name: vars(llama.get_submodule(name))["forward"] for name in own} == own


def test_afterwards_nothing_is_compiled(llama: Any) -> None:
    with switched(llama, CoreRecipe(compile=True, kernels=False)):
        assert [module for module in llama.modules() if module._compiled_call_impl is not None]
    assert not [module for module in llama.modules() if module._compiled_call_impl or "forward" in vars(module)]
