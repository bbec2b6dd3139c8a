"""bfloat16: settled weights change no bit, what trains stays in fp32."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from ropo_bench.adapters import attach
from ropo_bench.recipes.method import AdapterRecipe
from ropo_bench.training.core.precision import settle_frozen

ADAPTERS = {
    "lora": AdapterRecipe(name="lora", options={"r": 4}, target_modules="all-linear"),
    "dora": AdapterRecipe(name="lora", options={"r": 4, "use_dora": True}),
    "oft": AdapterRecipe(name="oft", options={"oft_block_size": 8}),
    "ropo": AdapterRecipe(name="ropo"),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_settled_weights_change_no_bit_under_autocast(name: str, llama: Any) -> None:
    llama.requires_grad_(False)
    model: Any = attach(llama, ADAPTERS[name])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    settled = copy.deepcopy(model)
    settle_frozen(settled, torch.bfloat16)
    ids = torch.randint(10, 200, (2, 11), generator=generator)
    results = []
    for policy in (model, settled):
        with torch.autocast("cpu", torch.bfloat16):
            logits = policy(input_ids=ids).logits
        logits.float().square().sum().backward()
        results.append([logits, *(p.grad for p in policy.parameters() if p.requires_grad)])
    for before, after in zip(*results, strict=True):
        assert torch.equal(before, after)
    rounded = [p for p in settled.parameters() if p.dtype == torch.bfloat16]
    assert len(rounded) == (14 if name == "lora" else 10)  # of two layers of seven; q and v read by the others


def test_what_trains_and_the_head_stay_in_fp32(llama: Any) -> None:
    settle_frozen(llama, torch.bfloat16)
    assert {p.dtype for p in llama.parameters()} == {torch.float32}
    llama.requires_grad_(False)
    settle_frozen(llama, torch.bfloat16)
    assert llama.get_output_embeddings().weight.dtype == torch.float32
    assert llama.model.norm.weight.dtype == torch.float32
    assert llama.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
