"""The trained policy as a plain Hugging Face folder, with nothing of PEFT left in it; memory holds one layer more."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module, remove_hook_from_module
from torch import Tensor, nn
from transformers import AutoTokenizer

from ropo_bench.adapters import plain_model, tuner_layers
from ropo_bench.models.load import DTYPES
from ropo_bench.store.files import storage_errors

# A file's weights are in memory together while it is written; one weight may be larger than this.
SHARD_SIZE = "2GB"


def merge(base: str | Path, policy: nn.Module, out_dir: Path, dtype: str) -> None:
    """Write the policy's weights, config and generation config, and the base's tokenizer, to `out_dir`.

    Adapters are merged in fp32 and rounded to `dtype` (a name of models.DTYPES) last; the policy is left as
    it is. out_dir: an existing folder that the caller renames when all is well. Raises StorageError for a
    disk that is full or read-only.
    """
    plain, weights = plain_model(policy), MergedWeights(policy, "cpu", DTYPES[dtype])
    with torch.device("meta"):
        merged = type(plain)(copy.deepcopy(plain.config)).to(DTYPES[dtype])
    assert set(weights) == set(merged.state_dict()), "the policy must have the architecture's weights, and no other"
    merged.generation_config = plain.generation_config
    # transformers saves an offloaded model file by file and asks accelerate's hook for each weight when it is due.
    add_hook_to_module(merged, AlignDevicesHook(weights_map=weights))
    merged.hf_device_map = {"": "disk"}
    with storage_errors(out_dir), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attempting to save a model with offloaded modules")
        merged.save_pretrained(out_dir, max_shard_size=SHARD_SIZE)
        remove_hook_from_module(merged)  # a module and its hook hold each other, and this one the policy's weights
        write_tokenizer(base, out_dir)


def write_tokenizer(base: str | Path, out_dir: Path) -> None:
    """Write the base's tokenizer, chat template and all, as this version of transformers writes it."""
    AutoTokenizer.from_pretrained(base).save_pretrained(out_dir)


class MergedWeights(Mapping[str, Tensor]):
    """Name in the plain model -> weight: base weights as they are, adapted ones merged in fp32.

    A layer is merged when one of its weights is asked for, in a copy: the policy does not change. device: where
    the weights come to lie; None for the policy's own. dtype: what they are rounded to last.
    """

    def __init__(self, policy: nn.Module, device: str | None = None, dtype: torch.dtype = torch.float32) -> None:
        self._device, self._dtype = device, dtype
        self._layers = dict(tuner_layers(policy))
        self._names: dict[str, str | None] = {}  # -> its adapted layer
        for name, layer in self._layers.items():
            self._names |= {f"{name}.{key}": name for key in layer.get_base_layer().state_dict()}
        self._held = plain_model(policy).state_dict()
        adapted = tuple(f"{name}." for name in self._layers)
        self._names |= {name: None for name in self._held if not name.startswith(adapted)}
        self._last: tuple[str, dict[str, Tensor]] = ("", {})  # weight and bias of a layer come from one merge

    def __getitem__(self, name: str) -> Tensor:
        return self._in_float32(name).to(device=self._device, dtype=self._dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _in_float32(self, name: str) -> Tensor:
        layer = self._names[name]
        if layer is None:
            held: Tensor = self._held[name]
            return held.float()
        if self._last[0] != layer:
            self._last = ("", {})
            alone: Any = copy.deepcopy(self._layers[layer]).to(torch.float32)
            alone.merge()
            self._last = (layer, alone.get_base_layer().state_dict())
        weight: Tensor = self._last[1][name.removeprefix(f"{layer}.")]
        return weight


def merged_weights(policy: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """(name in the plain model, fp32 weight) one by one, adapted layers merged; memory holds one extra layer."""
    yield from MergedWeights(policy).items()


@torch.no_grad()
def fuse(policy: nn.Module) -> None:
    """Merge every adapted layer in place, in fp32 and as `merge` does: plain_model(policy) has no adapter left."""
    plain = plain_model(policy)
    for name, layer in tuner_layers(policy):
        alone: Any = copy.deepcopy(layer).to(torch.float32)
        alone.merge()
        plain.set_submodule(name, alone.get_base_layer())


@torch.no_grad()
def round_weights(model: Any, dtype: torch.dtype) -> Any:
    """The model, every weight of it rounded to `dtype` and back, in place."""
    for weight in model.state_dict().values():
        if weight.is_floating_point():
            weight.copy_(weight.to(dtype))
    return model
