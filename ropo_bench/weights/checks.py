"""Weights against the config that they belong to: every one there, of its shape, a number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from ropo_bench.errors import UsageError
from ropo_bench.weights.files import FiledTensor, list_names


def check_loading(where: str, model: Any, info: Mapping[str, Any]) -> None:
    """Raise UsageError unless files and config made one model.

    info: the loading info of transformers, which leaves out what an architecture says may be absent or left over,
    such as a tied head. What is missing would be random numbers, what is left over would be silently unused.
    """
    missing, left_over = (sorted(map(str, info[kind])) for kind in ("missing_keys", "unexpected_keys"))
    reshaped = sorted(
        f"{name} ({list(filed)} in the files, {list(wanted)} by the config)"
        for name, filed, wanted in info["mismatched_keys"]
    )
    parts = {"are missing": missing, "are left over": left_over, "have another shape": reshaped}
    problems = [f"{len(names)} {what}: {list_names(names)}" for what, names in parts.items() if names]
    if problems:
        named = ", ".join(model.config.architectures or ["no architecture"])
        raise UsageError(
            f"{where}: the weights in its files are not those of its config.json ({'; '.join(problems)}), which names"
            f" {named} and is loaded as {type(model).__name__}; give a folder whose config and weights belong"
            " together"
        )


def check_tie(where: str, model: Any) -> None:
    """Raise UsageError for a head that config.json ties to the embeddings and the files hold with other numbers.

    Engines do not agree on which of the two is meant.
    """
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    tied = getattr(model.config, "tie_word_embeddings", False)
    if tied and head is not None and head.weight is not embeddings.weight:
        raise UsageError(
            f"{where}: config.json ties the head to the embeddings (tie_word_embeddings) and the files hold two that"
            " differ; set it to false in config.json if the head is meant"
        )


def check_causal(where: str, model: Any) -> None:
    """Raise UsageError for an encoder: it loads as a causal model, and reads what it should write."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    if type(model.config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(model.config, "is_decoder", False):
        raise UsageError(
            f"{where}: a {model.config.model_type} encoder (is_decoder is false), in which every token sees those"
            " after it; give a causal language model"
        )


def check_finite(where: str, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Raise UsageError naming the weights that hold a NaN or an infinity."""
    bad = [name for name, weight in weights if not is_finite(weight)]
    if bad:
        raise UsageError(
            f"{where}: {len(bad)} of its weights hold NaN or infinity ({list_names(bad)}), and so would every score;"
            " give a checkpoint whose training did not diverge, or fetch the folder again"
        )


def is_finite(weight: Tensor) -> bool:
    """Whether every number of a tensor is finite; what is no floating-point number is."""
    if not weight.is_floating_point() or weight.numel() == 0:
        return True
    if weight.element_size() == 1:  # torch has no reductions of eight bits
        weight = weight.float()
    # One pass and no copy: the extremes of what holds a NaN are NaN.
    return bool(torch.stack(weight.detach().aminmax()).isfinite().all())


def filed_weights(tensors: Mapping[str, FiledTensor]) -> Iterator[tuple[str, Tensor]]:
    """Read tensors from their files, one in memory at a time."""
    for path in dict.fromkeys(tensor.file for tensor in tensors.values()):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)


def check_vocabulary(where: str, tokenizer: Any, num_embeddings: int) -> None:
    """Raise UsageError for a tokenizer that has ids for which the model has no embedding."""
    beyond: Sequence[str] = [
        f"{word!r} ({number})"
        for word, number in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        if number >= num_embeddings
    ]
    if beyond:
        raise UsageError(
            f"{where}: its tokenizer has {len(beyond)} tokens beyond the {num_embeddings} embeddings of the model:"
            f" {list_names(beyond)}; give the tokenizer of this model, or resize its embeddings"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing what we say in one line ourselves."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
