"""Several processes, one training: who takes which micro-batch, and what is summed over all of them.

Processes are those of `accelerate launch`, torchrun or `ropo-bench run --processes`: all three tell theirs by the
same environment variables. With one process nothing here does anything. C micro-batches of a step, P processes.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from ropo_bench.errors import MethodFailed, RopoBenchError, UsageError

# Longer than the write of a large checkpoint, for which all wait; a process that died is noticed at once.
PATIENCE = timedelta(minutes=30)
BUCKET_BYTES = 64 << 20
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that train together, as one of them sees them.

    rank: 0 .. size - 1; rank 0 writes. shard: FSDP2 instead of whole copies; reshard: layers are given back after
    the forward pass too; offload: shards stay in main memory.
    """

    rank: int
    size: int
    device: torch.device
    shard: bool = False
    reshard: bool = True
    offload: bool = False

    @property
    def writes(self) -> bool:
        """Whether this process writes files, logs and progress: one of them does."""
        return self.rank == 0


def team() -> Team:
    """The team that the environment describes; joins it at the first call, before a model is loaded.

    Raises UsageError for what a launcher can ask for and this training cannot do.
    """
    cuda = torch.cuda.is_available()
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 and not dist.is_initialized():
        return Team(0, 1, torch.device("cuda" if cuda else "cpu"))
    if not dist.is_initialized():
        _check_launcher()
        if cuda:
            _take_gpu(int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count())
        # Otherwise transformers gives every process but the first a model without weights.
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    return Team(
        dist.get_rank(),
        dist.get_world_size(),
        torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu"),
        shard=_flag("ACCELERATE_USE_FSDP"),
        reshard=_flag("FSDP_RESHARD_AFTER_FORWARD", "true"),
        offload=_flag("FSDP_OFFLOAD_PARAMS"),
    )


def _take_gpu(number: int, count: int) -> None:
    if number >= count:
        raise UsageError(f"training: process {number + 1} finds {count} GPUs on this machine; start {count}")
    torch.cuda.set_device(number)


def _flag(name: str, default: str = "false") -> bool:
    return os.environ.get(name, default).lower() in ("true", "1")


def _check_launcher() -> None:
    if _flag("ACCELERATE_USE_DEEPSPEED"):
        raise UsageError(
            "training: started by accelerate with DeepSpeed, which is not supported; FSDP version 2 shards the same "
            "state: accelerate launch --use_fsdp --fsdp_version 2, or ropo-bench run --processes N --shard"
        )
    if _flag("ACCELERATE_USE_FSDP") and os.environ.get("FSDP_VERSION", "1") != "2":
        raise UsageError("training: started by accelerate with FSDP version 1; use --fsdp_version 2")


def leave() -> None:
    """End this process's part in the team, where there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


# -- who takes which micro-batch --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turn:
    """One forward pass of one process: positions of records, and the weight of its loss and metrics.

    weight: 1, or 0 for a stand-in, which a process computes only because every process must make as many passes
    as the others (FSDP exchanges weights in each).
    """

    group: list[int]
    weight: float = 1.0


def turns(groups: Sequence[Sequence[int]], costs: Sequence[int]) -> list[Turn]:
    """This process's share of one step's micro-batches; see deal()."""
    if not dist.is_initialized():
        return [Turn(list(group)) for group in groups]
    return deal(groups, costs, dist.get_rank(), dist.get_world_size())


def deal(groups: Sequence[Sequence[int]], costs: Sequence[int], rank: int, size: int) -> list[Turn]:
    """Deal the micro-batches of one step to `size` processes: each the same number, the costs balanced.

    costs: of each record, such as its tokens, by position. Where the number of groups is no multiple of `size`
    the costliest are halved; where there are fewer records than processes, the rest get stand-ins.
    """

    def cost(group: Sequence[int]) -> int:
        return sum(costs[i] for i in group)

    if size == 1:
        return [Turn(list(group)) for group in groups]
    parts = [list(group) for group in groups]
    while len(parts) % size and any(len(part) > 1 for part in parts):
        largest = max((part for part in parts if len(part) > 1), key=lambda part: (cost(part), part))
        parts.remove(largest)
        parts += [largest[: len(largest) // 2], largest[len(largest) // 2 :]]
    dealt = [Turn(part) for part in sorted(parts, key=lambda part: (-cost(part), part))]
    stand_in = Turn(dealt[-1].group[-1:], 0.0)
    dealt += [stand_in] * (-len(dealt) % size)
    hands: list[list[Turn]] = [[] for _ in range(size)]
    held = [0] * size
    # Row by row, so that the passes that run at the same time cost about the same.
    for start in range(0, len(dealt), size):
        poorest_first = sorted(range(size), key=lambda process: (held[process], process))
        for process, turn in zip(poorest_first, dealt[start : start + size], strict=True):
            hands[process].append(turn)
            held[process] += cost(turn.group)
    return hands[rank]


# -- what is summed over all processes --------------------------------------------------------------------------


def sum_over_team(values: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def mean_over_team(values_K: Tensor) -> Tensor:
    """The mean of all processes' values, each of which may hold another number of them (none among them)."""
    if not dist.is_initialized():
        return values_K.mean()
    sums = sum_over_team(torch.stack([values_K.sum(), values_K.new_tensor(float(len(values_K)))]))
    return sums[0] / sums[1]


def max_over_team(value: int) -> int:
    """The largest of all processes' values."""
    if not dist.is_initialized():
        return value
    largest = torch.tensor(value)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace every parameter's gradient by the sum over all processes; one that has none counts as zero.

    One all-reduce for each BUCKET_BYTES and dtype: a step's only exchange, whatever the number of micro-batches.
    """
    if not dist.is_initialized():
        return
    bucket: list[Tensor] = []
    num_bytes = 0
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        if bucket and (num_bytes > BUCKET_BYTES or bucket[0].dtype != parameter.grad.dtype):
            _sum_bucket(bucket)
            bucket, num_bytes = [], 0
        bucket.append(parameter.grad)
        num_bytes += parameter.grad.nbytes
    if bucket:
        _sum_bucket(bucket)


def _sum_bucket(gradients: list[Tensor]) -> None:
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(pieces, gradients, strict=True)])


def share_from_writer(tensors: Iterable[Tensor]) -> None:
    """Overwrite the tensors of all processes by those of rank 0, bit for bit."""
    if dist.is_initialized():
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def wait() -> None:
    """Go on when every process of the team has come here."""
    if dist.is_initialized():
        dist.barrier()


def written_once(write: Callable[[], None]) -> None:
    """Call `write` on rank 0 only and wait for it; what it raises is raised by all."""
    if not dist.is_initialized():
        write()
        return
    outcome: list[BaseException | None] = [None]
    if dist.get_rank() == 0:
        try:
            write()
        except RopoBenchError as error:
            outcome = [error]
        except Exception as error:  # of a class that other processes may not be able to read
            outcome = [MethodFailed(f"training: {type(error).__name__}: {error}")]
    dist.broadcast_object_list(outcome, 0)
    if outcome[0] is not None:
        raise outcome[0]


# -- moving batches ---------------------------------------------------------------------------------------------


def prefetch(batches: Iterable[T], device: torch.device) -> Iterator[T]:
    """The batches on `device`; on a GPU each is copied from pinned memory while the one before is computed.

    batches: dataclasses; their tensors move, whatever else they hold stays as it is.
    """
    if device.type != "cuda":
        for batch in batches:
            yield _with_tensors(batch, lambda tensor: tensor.to(device))
        return
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    source = iter(batches)
    coming = _fetch(source, stream)
    while coming is not None:
        current = torch.cuda.current_stream(device)
        current.wait_stream(stream)
        batch = coming
        _with_tensors(batch, partial(_used_by, stream=current))
        coming = _fetch(source, stream)
        yield batch


def _fetch(source: Iterator[T], stream: torch.cuda.Stream) -> T | None:
    batch = next(source, None)
    if batch is None:
        return None
    with torch.cuda.stream(stream):
        return _with_tensors(batch, lambda tensor: tensor.pin_memory().to(stream.device, non_blocking=True))


def _used_by(tensor: Tensor, stream: torch.cuda.Stream) -> Tensor:
    tensor.record_stream(stream)  # its memory is not another batch's before that stream is done with it
    return tensor


def _with_tensors(batch: T, change: Callable[[Tensor], Tensor]) -> T:
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(cast(Any, batch))}
    changed = {name: change(value) for name, value in fields.items() if isinstance(value, Tensor)}
    return cast(T, dataclasses.replace(cast(Any, batch), **changed))
