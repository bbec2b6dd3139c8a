"""Loading base models and tokenizers, always the same way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ropo_bench.errors import UsageError, first_line
from ropo_bench.errors.failures import is_out_of_memory
from ropo_bench.weights.checks import check_causal, check_finite, check_loading, check_tie, quiet
from ropo_bench.weights.files import check_whole

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(folder: Path, dtype: str, device: torch.device | None = None) -> Any:
    """A causal language model from a local folder, weights in `dtype`, on `device` or the best one there is.

    Raises UsageError when transformers cannot load it, and for weights that are missing, left over, of another
    shape or not finite: nothing of a model is ever made up.
    """
    from transformers import AutoModelForCausalLM

    where = f"model {folder}"
    model, info = read_weights(where, folder, AutoModelForCausalLM, DTYPES[dtype], "a causal language model")
    check_loading(where, model, info)
    check_tie(where, model)
    check_causal(where, model)
    _mend_generation_config(model.generation_config)
    model = model.to(device or best_device())
    check_finite(where, model.named_parameters())
    return model


def read_weights(where: str, folder: Path, kind: Any, dtype: Any, what: str) -> tuple[Any, dict[str, Any]]:
    """(model, which of its weights were missing, left over or of another shape), by transformers' class `kind`.

    what: the noun of such a model, for the UsageError where transformers cannot load it.
    """
    check_whole(where, folder)
    try:
        with quiet():
            loaded: tuple[Any, dict[str, Any]] = kind.from_pretrained(
                folder,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # check_loading tells of them
            )
    except Exception as error:  # a config may be wrong in as many ways as there are architectures
        if is_out_of_memory(error):
            raise  # nothing is wrong with the folder
        raise UsageError(
            f"{where}: transformers cannot load it ({first_line(error)}); give a folder of {what} with config.json"
            " and safetensors"
        ) from error
    return loaded


def _mend_generation_config(config: Any) -> None:
    """Published folders set temperature or top_p without do_sample, which transformers refuses to save again."""
    if config is not None and (config.temperature is not None or config.top_p is not None):
        config.do_sample = True


def generation_config(folder: Path) -> Any:
    """The generation config that a model loaded from a folder has: the folder's own, or what its config.json says."""
    from transformers import AutoConfig, GenerationConfig

    if (folder / "generation_config.json").is_file():
        config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    else:
        config = GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    _mend_generation_config(config)
    return config


def steady_positions(config: Any) -> int | None:
    """How many tokens a sequence may have so that positions mean the same beside longer ones; None: any number.

    Dynamic NTK and LongRoPE choose the frequencies of all rows of a batch by its longest sequence, and dynamic NTK by
    those before it, once a sequence is longer than the model was pretrained with.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    bounds = []
    for part in [rope, *(part for part in rope.values() if isinstance(part, dict))]:
        kind = part.get("rope_type", "default")
        if "dynamic" in kind:
            bounds.append(config.max_position_embeddings)
        elif kind == "longrope":
            bounds.append(part.get("original_max_position_embeddings") or config.max_position_embeddings)
    return min(bounds, default=None)


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, with a padding token; raises UsageError when there is none."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            num_words = len(tokenizer.get_vocab())
    except Exception as error:  # Rust's are bare Exceptions
        raise UsageError(
            f"tokenizer {folder}: transformers cannot load it ({first_line(error)}); "
            "the model folder must hold its tokenizer"
        ) from error
    if num_words == 0:
        raise UsageError(f"tokenizer {folder}: has no words; the model folder must hold its tokenizer")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@contextmanager
def trying(model: Any, what: str, way: str) -> Iterator[None]:
    """Within it transformers' code of an architecture runs for the first time: its crash is a UsageError.

    what: what it cannot do. way: what to do instead. Errors of ours and of too little memory pass.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise UsageError(
            f"model of type {model.config.model_type!r}: transformers' code of it does not {what} here"
            f" ({type(error).__name__}: {first_line(error)}); {way}"
        ) from error


def best_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
