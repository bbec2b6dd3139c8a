"""The trained policy as a plain Hugging Face folder, with nothing of PEFT left in it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoTokenizer

from ropo_bench.adapters import tuner_layers
from ropo_bench.models import DTYPES
from ropo_bench.runs.files import storage_errors


def merge(base: str | Path, policy: nn.Module, out_dir: Path, dtype: str) -> None:
    """Write the policy's weights, config and generation config, and the base's tokenizer, to `out_dir`.

    Adapters are merged in fp32 and rounded to `dtype` (a name of models.DTYPES) last; the policy is left as
    it is. out_dir: an existing folder that the caller renames when all is well. Raises StorageError for a
    disk that is full or read-only.
    """
    plain = plain_model(policy)
    with torch.device("meta"):
        merged = type(plain)(copy.deepcopy(plain.config))
    state = {name: weight.to("cpu", DTYPES[dtype]) for name, weight in merged_weights(policy)}
    merged.load_state_dict(state, assign=True)  # strict: every weight of the architecture, and no other
    merged.tie_weights()
    merged.generation_config = plain.generation_config
    with storage_errors(out_dir):
        merged.save_pretrained(out_dir)
        AutoTokenizer.from_pretrained(base).save_pretrained(out_dir)


def merged_weights(policy: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """(name in the plain model, fp32 weight) one by one: base weights as they are, adapted ones merged.

    A merged layer is a copy of that one layer: the policy does not change and memory holds one extra layer.
    """
    layers = dict(tuner_layers(policy))
    for name, layer in layers.items():
        alone = copy.deepcopy(layer).to(torch.float32)
        alone.merge()
        for key, weight in alone.get_base_layer().state_dict().items():
            yield f"{name}.{key}", weight
    for name, weight in plain_model(policy).state_dict().items():
        if not any(name.startswith(f"{adapted}.") for adapted in layers):
            yield name, weight.float()


def plain_model(policy: nn.Module) -> Any:
    """The transformers model itself, without PEFT's wrapper."""
    return policy.get_base_model() if isinstance(policy, PeftModel) else policy
