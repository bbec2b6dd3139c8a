"""A model without its numbers: what a config says and what the headers of its files hold, on the meta device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ropo_bench.errors import UsageError, first_line
from ropo_bench.weights.checks import check_loading, quiet
from ropo_bench.weights.files import FiledTensor


def outline(folder: Path, auto: Any, what: str) -> Any:
    """The model that a folder's config.json describes, every weight on the meta device.

    auto: transformers' Auto class that builds it. Raises UsageError where transformers cannot.
    """
    from transformers import AutoConfig

    try:
        with quiet(), torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            return auto.from_config(config, trust_remote_code=False)
    except Exception as error:  # a config may be wrong in as many ways as there are architectures
        raise UsageError(
            f"model {folder}: transformers cannot build it from its config.json ({first_line(error)}); "
            f"give a folder of {what} with config.json and safetensors"
        ) from error


def check_keys(where: str, model: Any, tensors: Mapping[str, FiledTensor]) -> None:
    """Hold the headers of a folder's files against the outline of its model; raises UsageError.

    They go through transformers' own loading: what it renames or fuses (experts, old names) is so here too.
    """
    held = {name: torch.empty(tensor.shape, device="meta") for name, tensor in tensors.items()}
    try:
        with quiet():
            _, info = type(model).from_pretrained(
                None,
                config=model.config,
                state_dict=held,
                device_map={"": "meta"},
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told by us, with both shapes
            )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise UsageError(
            f"{where}: transformers cannot fit the weights in its files to its config.json ({first_line(error)});"
            " give a folder whose config and weights belong together"
        ) from error
    check_loading(where, model, info)
