"""How big a model is, without loading it: from a suite's numbers, or from a local folder's own files."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError, first_line
from ropo_bench.recipes.adapters import num_trainable
from ropo_bench.recipes.errors import problems
from ropo_bench.recipes.method import AdapterRecipe
from ropo_bench.recipes.suite import ShapeRecipe, SuiteRecipe
from ropo_bench.sources.models import local_model
from ropo_bench.store.bounded import check_types, parse_json, read_bounded

_NOT_LINEAR = ("embed", "lm_head", "wte", "wpe")
_HEADER_LIMIT = 100 << 20


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A model's exact number of parameters, (out, in) of each linear layer but the head, and its sizes if known."""

    num_parameters: int
    linears: Mapping[str, tuple[int, int]]
    shape: ShapeRecipe | None


def anatomy(suite: SuiteRecipe) -> Anatomy | None:
    """Of the suite's base: read where it is on this machine, else computed from the suite's shape, else None."""
    folder = local_model(suite.base)
    if folder is not None:
        return of_folder(folder)
    return None if suite.shape is None else of_shape(suite.shape)


def of_shape(shape: ShapeRecipe) -> Anatomy:
    """A Llama or Mistral model of this shape: no biases, RMS norms, gated feed-forward layers."""
    linears = dict(_linears(shape))
    norms = (2 * shape.num_hidden_layers + 1) * shape.hidden_size
    embeddings = shape.vocab_size * shape.hidden_size * (1 if shape.tie_word_embeddings else 2)
    return Anatomy(embeddings + norms + sum(map(math.prod, linears.values())), linears, shape)


def _linears(shape: ShapeRecipe) -> Iterator[tuple[str, tuple[int, int]]]:
    hidden, inner = shape.hidden_size, shape.intermediate_size
    queries, keys = shape.num_attention_heads * head_dim(shape), shape.num_key_value_heads * head_dim(shape)
    sizes = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    for layer in range(shape.num_hidden_layers):
        for name, size in sizes.items():
            yield f"model.layers.{layer}.{name}", size


def head_dim(shape: ShapeRecipe) -> int:
    """Width of one attention head."""
    return shape.head_dim or shape.hidden_size // shape.num_attention_heads


def of_folder(folder: Path) -> Anatomy:
    """A local model, from its config and the headers of its safetensors; raises UsageError for unreadable ones."""
    try:
        config = parse_json(read_bounded(folder / "config.json", _HEADER_LIMIT))
        check_types(dict[str, Any], config)
        sizes = {name: size for path in sorted(folder.glob("*.safetensors")) for name, size in _header(path)}
        check_types(dict[str, list[int]], sizes)
        shape = _shape(config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise UsageError(
            f"model {folder}: its config or safetensors cannot be read ({first_line(error)}); fetch it again"
        ) from error
    if config.get("tie_word_embeddings"):
        sizes.pop("lm_head.weight", None)
    linears = {
        name.removesuffix(".weight"): (size[0], size[1])
        for name, size in sizes.items()
        if len(size) == 2 and name.endswith(".weight") and not any(word in name for word in _NOT_LINEAR)
    }
    return Anatomy(sum(map(math.prod, sizes.values())), linears, shape)


def _header(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Names and sizes of a safetensors file's tensors: eight bytes of length, then JSON."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _HEADER_LIMIT:
            raise ValueError(f"{path.name} is no safetensors file")
        header = parse_json(file.read(length))
    return ((name, tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _shape(config: Mapping[str, Any]) -> ShapeRecipe | None:
    config = {**config, **(config.get("text_config") or {})}  # of a model that also sees, the part that reads
    fields = {key: config[key] for key in ShapeRecipe.model_fields if config.get(key) is not None}
    required = (key for key, field in ShapeRecipe.model_fields.items() if field.is_required())
    # An architecture may mean other things by these keys, such as a list with a size for each layer.
    if not all(key in fields for key in required) or problems(ShapeRecipe, fields, {}):
        return None
    return ShapeRecipe.model_validate(fields)


def trainable_parameters(model: Anatomy, adapter: AdapterRecipe) -> int | None:
    """Parameters that a method trains: the counts of `adapters.attach`, as formulas; None where there is none.

    full: all. The others: `recipes/adapters.py` has each formula.
    """
    if adapter.name == "full":
        return model.num_parameters
    return num_trainable(adapter.name, adapter.options, adapted_linears(model, adapter))


def adapted_linears(model: Anatomy, adapter: AdapterRecipe) -> dict[str, tuple[int, int]]:
    """The linear layers that an adapter would be attached to."""
    return {name: size for name, size in model.linears.items() if _is_targeted(name, adapter.target_modules)}


def _is_targeted(name: str, targets: list[str] | str) -> bool:
    """Whether PEFT would adapt the module: a suffix of its name in a list, or a pattern over all of it."""
    if isinstance(targets, str):
        return targets == "all-linear" or re.fullmatch(targets, name) is not None
    return any(name == target or name.endswith(f".{target}") for target in targets)
