"""Frozen weights in the dtype of the matrix products: what autocast makes of them in every pass, made once."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn


def settle_frozen(model: nn.Module, dtype: torch.dtype) -> None:
    """Round the frozen weights of linear layers to `dtype`, in place; under autocast to it no number changes.

    Autocast rounds such a weight in every forward pass and keeps the copy for the backward pass: settled, an 8 B
    base takes 16 GB instead of 48. Left alone: the head, whose log-probabilities read the weight themselves, and
    base layers of adapters other than LoRA, which may (RoPO's norms).
    """
    causal: Any = model
    read_elsewhere = {id(causal.get_output_embeddings())} if hasattr(model, "get_output_embeddings") else set()
    for module in model.modules():
        if isinstance(module, BaseTunerLayer) and (
            not isinstance(module, LoraLayer) or any(module.use_dora.values())
        ):
            read_elsewhere |= {id(inner) for inner in module.modules()}
    for module in model.modules():
        if type(module) is nn.Linear and id(module) not in read_elsewhere and not module.weight.requires_grad:
            module.weight.data = module.weight.data.to(dtype)
