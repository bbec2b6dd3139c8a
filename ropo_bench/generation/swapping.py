"""Whether a running engine may take another model's weights: all else that it read of the folders must be equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ropo_bench.store.bounded import parse_json, read_bounded

UNREAD = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
"""Keys of config.json that no engine reads; the dtype is told to it."""


def differ_in_weights_only(folder: Path, other: Path) -> bool:
    """Whether two model folders have one architecture, unquantised, and so fit one running engine."""
    config, other_config = _config(folder), _config(other)
    return config == other_config and "quantization_config" not in config


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = parse_json(read_bounded(folder / "config.json"))
    return {key: value for key, value in config.items() if key not in UNREAD}
