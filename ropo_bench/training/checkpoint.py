"""One file that holds everything a training run needs to go on exactly: trained tensors, Adam's moments, the step.

Learning rate, batches and dropout are pure functions of (seed, step), so nothing else is state.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ropo_bench.errors import StorageError
from ropo_bench.runs import atomic_file

NAME = "checkpoint.safetensors"


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write the state after `step` optimizer steps, atomically: an interrupted write leaves the one before."""
    tensors = _tensors(model, optimizer)
    with atomic_file(folder / NAME) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step), "crc32": str(_crc32(tensors))})


def load(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore the newest state in place and return its step; 0 without a checkpoint.

    Raises StorageError when the file is cut, altered or of another model.
    """
    path = folder / NAME
    if not path.exists():
        return 0
    mend = "delete that file to train this method again from its first step"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise StorageError(f"{path}: not a readable checkpoint ({error}); {mend}") from error
    if metadata.get("crc32") != str(_crc32(tensors)):
        raise StorageError(f"{path}: its tensors do not match their checksum; {mend}")
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if {f"param/{name}" for name in trained} != {name for name in tensors if name.startswith("param/")}:
        raise StorageError(f"{path}: it belongs to a model with other trained tensors; {mend}")
    _restore(trained, optimizer, tensors, int(metadata["step"]))
    return int(metadata["step"])


def remove(folder: Path) -> None:
    """Delete the checkpoint of a finished run."""
    (folder / NAME).unlink(missing_ok=True)


def _tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        tensors[f"param/{name}"] = parameter.detach().contiguous()
        state: dict[str, Any] = optimizer.state.get(parameter, {})
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment in state:
                tensors[f"{moment}/{name}"] = state[moment].contiguous()
    return tensors


def _restore(
    trained: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], step: int
) -> None:
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[f"param/{name}"])
            if f"exp_avg/{name}" not in tensors:
                continue
            optimizer.state[parameter] = {
                "step": torch.tensor(float(step), device=parameter.device),
                "exp_avg": tensors[f"exp_avg/{name}"].to(parameter.device),
                "exp_avg_sq": tensors[f"exp_avg_sq/{name}"].to(parameter.device),
            }


def _crc32(tensors: dict[str, Tensor]) -> int:
    total = 0
    for name in sorted(tensors):
        raw = tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        total = zlib.crc32(raw.data, total)
    return total
