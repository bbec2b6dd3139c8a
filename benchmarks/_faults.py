"""Faults that a merge may have, planted by hand into a merged folder or into the code that merges."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ropo_bench.adapters import tuner_layers
from ropo_bench.adapters.ropo.layer import RopoLayer
from ropo_bench.models.load import DTYPES

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A right merge that a fault goes into: shape ("llama" ...), dtype, its folder, its base's and the policy."""

    shape: str
    dtype: str
    folder: Path
    base: Path
    policy: Any

    @property
    def layers(self) -> list[tuple[str, Any]]:
        """The adapted layers, (name, layer)."""
        return tuner_layers(self.policy)


def config(name: str = "config.json", **changes: Any) -> Callable[[Case], None]:
    """Keys of a JSON file of the folder changed; {"old": f(old)} where the value is a function."""

    def plant(case: Case) -> None:
        path = case.folder / name
        content = json.loads(path.read_text()) if path.is_file() else {}
        for key, value in changes.items():
            content[key] = value(content.get(key)) if callable(value) else value
        path.write_text(json.dumps(content))

    return plant


def weights(change: Callable[[Case, Weights], Weights]) -> Callable[[Case], None]:
    """Tensors of the folder's file changed."""

    def plant(case: Case) -> None:
        path = case.folder / "model.safetensors"
        held = load_file(path)
        with torch.no_grad():
            changed = change(case, dict(held))
        low = DTYPES[case.dtype]
        kept = {key: value.contiguous().to(low) if key in held else value for key, value in changed.items()}
        save_file(kept, path, metadata={"format": "pt"})

    return plant


def rope(**changes: Any) -> Callable[[Case], None]:
    return config(rope_parameters=lambda old: {**(old or {}), **changes})


def swap_layers(case: Case, held: Weights) -> Weights:
    def other(key: str) -> str:
        if ".layers.0." in key:
            return key.replace(".layers.0.", ".layers.1.")
        return key.replace(".layers.1.", ".layers.0.")

    return {key: held[other(key)] for key in held}


def zero_layer(case: Case, held: Weights) -> Weights:
    return {key: torch.zeros_like(value) if "layers.1.mlp" in key else value for key, value in held.items()}


def permute_embedding(case: Case, held: Weights) -> Weights:
    return held | {"model.embed_tokens.weight": held["model.embed_tokens.weight"].roll(1, 0)}


def unmerge_first(case: Case, held: Weights) -> Weights:
    name, layer = case.layers[0]
    return held | {f"{name}.weight": layer.get_base_layer().weight.detach()}


def all_base(case: Case, held: Weights) -> Weights:
    return held | {f"{name}.weight": layer.get_base_layer().weight.detach() for name, layer in case.layers}


def turned_back(case: Case, held: Weights) -> Weights:
    return held | {f"{name}.weight": _turned_back(layer) for name, layer in case.layers}


def _turned_back(layer: Any) -> Tensor:
    weight = layer.get_base_layer().weight
    turned: Tensor = layer.rotate(weight, "default", transpose=True) * layer.scale("default")[:, None]
    return turned


def head_without_magnitude(case: Case, held: Weights) -> Weights:
    name, layer = case.layers[0]
    return held | {f"{name}.weight": _without_magnitude(layer)}


def _without_magnitude(layer: Any) -> Tensor:
    scale = layer.scale("default").clone()
    scale[: len(scale) // 4] = 1
    turned: Tensor = layer.rotate(layer.get_base_layer().weight, "default") * scale[:, None]
    return turned


def _off(size: int, angle: float) -> Tensor:
    """A dense rotation by about `angle` in every plane."""
    draw = torch.randn(size, size, generator=torch.Generator().manual_seed(5))
    return torch.matrix_exp(angle * (draw - draw.T) / (2 * size) ** 0.5)


def off_by_a_little(case: Case, held: Weights) -> Weights:
    return held | {
        f"{name}.weight": layer.merged_weight("default") @ _off(layer.in_features, 1e-4)
        for name, layer in case.layers
    }


def rounded_twice(case: Case, held: Weights) -> Weights:
    way = torch.float16 if case.dtype == "bfloat16" else torch.bfloat16
    return held | {f"{name}.weight": layer.merged_weight("default").to(way) for name, layer in case.layers}


def second_head(case: Case, held: Weights) -> Weights:
    """A head in the files beside a tied embedding; where it is its own, the embedding in its place."""
    embedding = held["model.embed_tokens.weight"]
    if "lm_head.weight" in held:
        return held | {"lm_head.weight": embedding.clone()}
    return held | {"lm_head.weight": (embedding + 0.01).to(embedding.dtype)}


def without(end: str) -> Callable[[Case, Weights], Weights]:
    return lambda case, held: {key: value for key, value in held.items() if not key.endswith(end)}


def other_dtype(case: Case) -> None:
    path = case.folder / "model.safetensors"
    other = torch.bfloat16 if case.dtype != "bfloat16" else torch.float16
    save_file({key: value.to(other) for key, value in load_file(path).items()}, path, metadata={"format": "pt"})


def other_dtype_named(case: Case) -> None:
    config(dtype="float16" if case.dtype != "float16" else "bfloat16")(case)


def stale_shard(case: Case) -> None:
    """The model in two files, of which the second is the base's."""
    path = case.folder / "model.safetensors"
    held, start = load_file(path), load_file(case.base / "model.safetensors")
    names = sorted(held)
    half = {key: "model-1.safetensors" if key in names[: len(names) // 2] else "model-2.safetensors" for key in names}
    for file in ("model-1.safetensors", "model-2.safetensors"):
        source = held if file == "model-1.safetensors" else start
        part = {key: source[key].to(held[key].dtype).clone() for key in names if half[key] == file}
        save_file(part, case.folder / file, metadata={"format": "pt"})
    path.unlink()
    (case.folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": half}))


def left_over(case: Case) -> None:
    (case.folder / "model-00002.safetensors").write_bytes((case.folder / "model.safetensors").read_bytes())


def adapter_left(case: Case) -> None:
    (case.folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}')


def _tokenizer(change: Callable[[dict[str, Any]], None]) -> Callable[[Case], None]:
    def plant(case: Case) -> None:
        path = case.folder / "tokenizer.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return plant


def _swap_words(content: dict[str, Any]) -> None:
    words = content["model"]["vocab"]
    a, b = sorted(words, key=words.get)[-2:]
    words[a], words[b] = words[b], words[a]


def _swap_merges(content: dict[str, Any]) -> None:
    merges = content["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]


def _lose_merge(content: dict[str, Any]) -> None:
    content["model"]["merges"].pop()


def template(case: Case) -> None:
    path = case.folder / "chat_template.jinja"
    path.write_text(path.read_text() + " ")


FOLDER: dict[str, Callable[[Case], None]] = {
    "rope_theta x 10": rope(rope_theta=100_000.0),
    "rope_theta x 1.0001": rope(rope_theta=10_001.0),
    "rope scaling added": rope(rope_type="linear", factor=2.0),
    "rms_norm_eps 1e-2": config(rms_norm_eps=1e-2),
    "gelu for silu": config(hidden_act="gelu"),
    "heads regrouped": config(num_attention_heads=8, num_key_value_heads=4, head_dim=8),
    "sliding window 4": config(sliding_window=4, use_sliding_window=True),
    "tie_word_embeddings flipped": config(tie_word_embeddings=lambda old: not old),
    "attention dropout": config(attention_dropout=0.1),
    "eos of config.json": config(eos_token_id=7),
    "eos of generation_config": config("generation_config.json", eos_token_id=7),
    "temperature of generation_config": config("generation_config.json", temperature=0.3, do_sample=True),
    "repetition penalty of generation_config": config("generation_config.json", repetition_penalty=1.3),
    "eos of the tokenizer": config("tokenizer_config.json", eos_token=lambda old: "a"),
    "two words swapped": _tokenizer(_swap_words),
    "a merge of the tokenizer lost": _tokenizer(_lose_merge),
    "two merges of the tokenizer swapped": _tokenizer(_swap_merges),
    "chat template": template,
    "another dtype in the files": other_dtype,
    "another dtype in config.json": other_dtype_named,
    "two layers swapped": weights(swap_layers),
    "a layer's MLP zeroed": weights(zero_layer),
    "embedding permuted": weights(permute_embedding),
    "one module unmerged": weights(unmerge_first),
    "nothing merged": weights(all_base),
    "R for R^T": weights(turned_back),
    "one head's magnitude missing": weights(head_without_magnitude),
    "dense rotation off by 1e-4": weights(off_by_a_little),
    "rounded twice": weights(rounded_twice),
    "tied head broken": weights(second_head),
    "a weight missing": weights(without("layers.1.mlp.up_proj.weight")),
    "stale shard": stale_shard,
    "shard left over": left_over,
    "adapter left in the folder": adapter_left,
}
# Of single shapes.
OWN: dict[str, dict[str, Callable[[Case], None]]] = {
    "qwen2": {"bias missing": weights(without("layers.0.self_attn.q_proj.bias"))},
    "qwen3": {"q_norm missing": weights(without("layers.0.self_attn.q_norm.weight"))},
}


def _in_bfloat16(layer: Any, _name: str) -> Tensor:
    return RIGHT(layer, "default").bfloat16().float()


def _off_in_code(layer: Any, _name: str) -> Tensor:
    return RIGHT(layer, "default") @ _off(layer.in_features, 1e-4)


RIGHT = RopoLayer.merged_weight
# The layer merges wrongly wherever it merges: folder and memory agree, training was otherwise.
CODE: dict[str, Callable[[Any, str], Tensor]] = {
    "R for R^T": lambda layer, _: _turned_back(layer),
    "magnitudes missing": lambda layer, _: layer.rotate(layer._frozen_weight(), "default"),
    "one head's magnitude missing": lambda layer, _: _without_magnitude(layer),
    "nothing merged": lambda layer, _: layer._frozen_weight().clone(),
    "dense rotation off by 1e-4": _off_in_code,
    "merged in bfloat16": _in_bfloat16,
}


@contextmanager
def merging_wrongly(merged_weight: Callable[[Any, str], Tensor]) -> Iterator[None]:
    """Within it RoPO's layers merge by this function."""
    with patch.object(RopoLayer, "merged_weight", torch.no_grad()(merged_weight)):
        yield
