"""Policies whose parameters have moved, for the tests of merging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from ropo_bench.adapters import attach
from ropo_bench.recipes.method import AdapterRecipe

ADAPTERS = {
    "full": AdapterRecipe(name="full"),
    "lora": AdapterRecipe(name="lora", options={"r": 4}),
    "oft": AdapterRecipe(name="oft", options={"oft_block_size": 16}),
    "ropo": AdapterRecipe(name="ropo"),
    "mirror": AdapterRecipe(name="ropo", options={"planes": "mirror"}, target_modules="all-linear"),
}
PROBES = [list(range(7, 60)), list(range(100, 9, -3)), [3] * 20]
every_adapter = pytest.mark.parametrize("adapter", ADAPTERS)


def load_base(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def trained(base_folder: Path, adapter: str, size: float = 0.02, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A policy whose trainable parameters have moved by noise of the given size."""
    policy = attach(load_base(base_folder, dtype), ADAPTERS[adapter]).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in policy.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += (size * noise).to(parameter.dtype)
    return policy
