"""Model folders read for a comparison: in fp32, in memory or weight by weight from the disk."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.integrations.accelerate import load_offloaded_parameter

from ropo_bench.errors import CertificateFailed, StorageError, first_line

# A model that stays in its files: transformers finds each weight by its name in the model.
ON_DISK: dict[str, Any] = {"device_map": {"": "disk"}}


def load_float32(folder: Path, **where: Any) -> tuple[Any, dict[str, Any]]:
    """(fp32 model, which of its weights were missing or left over)."""
    logging.getLogger("accelerate.big_modeling").setLevel(logging.ERROR)  # warns of weights left on the disk
    loaded: tuple[Any, dict[str, Any]] = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, output_loading_info=True, **where
    )
    return loaded


def read_back(folder: Path, **where: Any) -> Any:
    """A merged folder as an fp32 model; raises CertificateFailed for a weight that is missing or left over."""
    try:
        model, info = load_float32(folder, **where)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise StorageError(
            f"{folder}: the merged model cannot be read back ({first_line(error)}); delete it and merge again"
        ) from error
    wrong = sorted(str(key) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in info[kind])
    if wrong:
        raise CertificateFailed(
            f"merge certificate of {folder}: weights missing, left over or of another shape: "
            f"{', '.join(wrong)}; merge again"
        )
    return model


def read_weight(model: Any, name: str) -> Tensor:
    """One weight of a model that stays on the disk, in fp32."""
    held: Tensor = model.state_dict()[name]  # on meta, but for buffers
    return cast(Tensor, load_offloaded_parameter(model, name)) if held.is_meta else held
