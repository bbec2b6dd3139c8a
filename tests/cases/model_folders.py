"""Tiny model folders, and ways to break them, for cases of loading."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"
SIZES = {
    "vocab_size": 262,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 5,
    "pad_token_id": 0,
}


def save_model(config: Any, tokenizer: Any, folder: Path, seed: int = 0) -> Path:
    """A random causal language model of a config, in a folder with its tokenizer."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def copy_folder(folder: Path, target: Path) -> Path:
    """A copy that may be broken."""
    shutil.copytree(folder, target)
    return target


def edit_config(folder: Path, name: str = "config.json", **changes: Any) -> Path:
    """Change keys of a config file."""
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], None], name: str = WEIGHTS) -> Path:
    """Change the tensors of a safetensors file."""
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name, metadata={"format": "pt"})
    return folder
