"""One file that holds everything a training run needs to go on exactly: trained tensors, Adam's moments, the step.

Learning rate, batches and dropout are pure functions of (seed, step), so nothing else is state. The tensors are
whole: training goes on with another number of processes, sharded or not.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ropo_bench.errors import StorageError
from ropo_bench.store import atomic_file
from ropo_bench.training.team.devices import team, written_once
from ropo_bench.training.team.sharding import shard_like, whole

NAME = "checkpoint.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write the state after `step` optimizer steps, atomically: an interrupted write leaves the one before.

    Every process of a team calls it: all give their shards, one writes.
    """
    writes = team().writes
    tensors: dict[str, Tensor] = {}
    for name, tensor in _state(model, optimizer):
        value = whole(tensor).detach()
        if writes:  # a shard's whole leaves the GPU before the next is gathered
            tensors[name] = value.contiguous() if value is tensor.detach() else value.cpu()

    def write() -> None:
        crc = 0
        for name in sorted(tensors):
            crc = _crc32(tensors[name], crc)
        with atomic_file(folder / NAME) as temporary:
            save_file(tensors, temporary, metadata={"step": str(step), "crc32": str(crc)})

    written_once(write)


def load(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore the newest state in place and return its step; 0 without a checkpoint.

    Raises StorageError when the file is cut, altered or of another model; the model is then of no use.
    """
    path = folder / NAME
    if not path.exists():
        return 0
    mend = "delete that file to train this method again from its first step"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            step, crc = int(metadata.get("step", 0)), 0
            names = sorted(file.keys())
            trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
            if {f"param/{name}" for name in trained} != {name for name in names if name.startswith("param/")}:
                raise StorageError(f"{path}: it belongs to a model with other trained tensors; {mend}")
            for name in names:  # one at a time: a whole state may not fit in the memory of every process
                tensor = file.get_tensor(name)
                crc = _crc32(tensor, crc)
                _restore(trained, optimizer, name, tensor, step)
    except (SafetensorError, OSError) as error:
        raise StorageError(f"{path}: not a readable checkpoint ({error}); {mend}") from error
    if metadata.get("crc32") != str(crc):
        raise StorageError(f"{path}: its tensors do not match their checksum; {mend}")
    return step


def remove(folder: Path) -> None:
    """Delete the checkpoint of a finished run."""
    (folder / NAME).unlink(missing_ok=True)


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield f"param/{name}", parameter
            state = optimizer.state.get(parameter, {})
            for moment in MOMENTS:
                if moment in state:
                    yield f"{moment}/{name}", state[moment]


def _restore(
    trained: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, name: str, tensor: Tensor, step: int
) -> None:
    kind, _, of = name.partition("/")
    parameter = trained[of]
    own = shard_like(tensor, parameter)
    if kind == "param":
        with torch.no_grad():
            parameter.copy_(own)
    else:
        state = optimizer.state[parameter]
        state.setdefault("step", torch.tensor(float(step), device=parameter.device))
        state[kind] = own


def _crc32(tensor: Tensor, before: int) -> int:
    raw = tensor.cpu().contiguous().flatten().view(torch.uint8).numpy()
    return zlib.crc32(raw.data, before)
