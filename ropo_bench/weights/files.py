"""The files of a model folder as files: they are there, whole, and in the format that is expected of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError, first_line

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_LFS = b"version https://git-lfs"
_LFS_BYTES = 1024  # a pointer has some 130
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True)
class FiledTensor:
    """A tensor as the header of its file describes it; dtype: safetensors' name, such as BF16."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter in the place of a whole model."""
    return (folder / ADAPTER_CONFIG).is_file()


def check_folder(folder: Path) -> None:
    """Raise UsageError for a config that is none and for pointers of git-lfs where files should be."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.stat().st_size < _LFS_BYTES and path.read_bytes().startswith(_LFS):
            raise UsageError(
                f"model {folder}: {path.name} is a pointer of git-lfs, not the file itself; run `git lfs pull` there"
            )
    if is_adapter(folder):
        read_config(folder, ADAPTER_CONFIG, "peft_type")
    if (folder / CONFIG).is_file():
        config = read_config(folder, CONFIG, "model_type")
        if not isinstance(config.get("text_config", {}), Mapping):
            raise UsageError(f"model {folder}: {CONFIG}: text_config is not an object; give the config of the model")


def read_config(folder: Path, name: str, key: str) -> Mapping[str, Any]:
    """A config file, which is a JSON object whose `key` is a text; raises UsageError for anything else."""
    path = folder / name
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"model {folder}: {name} is not JSON ({first_line(error)}); fetch the folder again"
        ) from error
    if not isinstance(config, dict):
        kind = "null" if config is None else f"a {type(config).__name__}"
        raise UsageError(f"model {folder}: {name} is {kind}, not an object; fetch the folder again")
    if not isinstance(config.get(key), str):
        raise UsageError(
            f"model {folder}: {name} has no {key} (given: {config.get(key)!r}), so nobody knows what it is;"
            " give a folder that transformers or PEFT has saved"
        )
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that transformers would load from a folder.

    Raises UsageError where there are none, and for shards that the index names and the folder lacks.
    """
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if not (folder / INDEX).is_file():
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        mend = f"only {pickles[0]}, and pickles are never loaded; convert it" if pickles else "give a whole folder"
        raise UsageError(f"model {folder}: no {_WEIGHTS} in that folder; {mend}")
    names = sorted(set(read_weight_map(folder).values()))
    outside = [name for name in names if Path(name).name != name]
    absent = [name for name in names if not (folder / name).is_file()]
    for wrong, why in ((outside, "outside of the folder"), (absent, "not there")):
        if wrong:
            raise UsageError(
                f"model {folder}: {INDEX} names {len(wrong)} of {len(names)} files that are {why}"
                f" ({list_names(wrong)}); fetch the folder again"
            )
    return [folder / name for name in names]


def read_weight_map(folder: Path) -> dict[str, str]:
    """The file of every tensor of a model in shards; raises UsageError for an index that is none."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        weight_map = index["weight_map"]
        if not weight_map or not all(isinstance(name, str) for name in weight_map.values()):
            raise ValueError("its weight_map does not name files")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"model {folder}: {INDEX} is no index of safetensors ({first_line(error)}); fetch the folder again"
        ) from error
    return dict(weight_map)


def read_tensors(where: str, files: Sequence[Path]) -> dict[str, FiledTensor]:
    """Every tensor of some safetensors by name, from their headers alone.

    where: what an error begins with. Raises UsageError for a file that is cut or is no safetensors.
    """
    from safetensors import SafetensorError, safe_open

    tensors: dict[str, FiledTensor] = {}
    for path in files:
        try:
            with safe_open(path, "np") as file:
                for name in file.keys():  # noqa: SIM118
                    part = file.get_slice(name)
                    tensors[name] = FiledTensor(path, tuple(part.get_shape()), part.get_dtype())
        except (OSError, SafetensorError) as error:
            raise UsageError(
                f"{where}: {path.name} is cut or no safetensors ({first_line(error)}); fetch it again"
            ) from error
    return tensors


def check_whole(where: str, folder: Path) -> dict[str, FiledTensor]:
    """The tensors in a model folder's files, by their headers; raises UsageError for files that are not whole."""
    check_folder(folder)
    if is_adapter(folder):
        raise UsageError(
            f"{where}: an adapter, not a model ({ADAPTER_CONFIG} is in that folder); give the merged model, or the"
            " adapter as --checkpoint beside its base"
        )
    read_config(folder, CONFIG, "model_type")
    return read_tensors(where, weight_files(folder))


def list_names(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
