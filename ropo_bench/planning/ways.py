"""How a training is spread over devices, and the ways on where it does not fit, each with its own figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.models.size import Anatomy
from ropo_bench.planning.machine import CPU, GIB, Machine
from ropo_bench.planning.memory import Fit, Memory, fits, forward_tokens, training_memory
from ropo_bench.recipes.method import MethodRecipe, TrainRecipe

NUM_DEVICES = (2, 4, 8, 16, 32, 64)
OFFLOAD = "FSDP_OFFLOAD_PARAMS"
LEANER: dict[str, Any] = {"gradient_checkpointing": True, "dtype": "bfloat16", "micro_batch_size": 1}
"""Keys of TrainRecipe that lower the memory; only dtype changes the numbers, by rounding."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Devices that train; sharded: each holds a share (FSDP), else everything; offload: the shares in main memory."""

    num_devices: int = 1
    sharded: bool = False
    offload: bool = False

    @property
    def words(self) -> str:
        """As the command line and the environment say it."""
        shard = " --shard (FSDP)" if self.sharded else ""
        return f"--processes {self.num_devices}{shard}{f' with {OFFLOAD}=true' if self.offload else ''}"

    def device(self, memory: Memory) -> Memory:
        """What each device holds of a training."""
        return memory.on(self.num_devices, self.sharded, self.offload)


@dataclass(frozen=True, slots=True)
class Way:
    """A change, and what a device needs after it; host_bytes: of the machine's memory, 0 where none is needed."""

    change: str
    needed_bytes: int
    host_bytes: int
    fits: bool


@dataclass(frozen=True, slots=True)
class _Try:
    """A way on before it is computed; instead: the method takes the place of the one that does not fit."""

    method: MethodRecipe
    spread: Spread
    changes: Mapping[str, Any] = field(default_factory=dict)
    instead: bool = False
    wider: bool = False

    @property
    def changed(self) -> MethodRecipe:
        train = self.method.train.model_copy(update=dict(self.changes))
        return self.method.model_copy(update={"train": train})

    @property
    def words(self) -> str:
        """What to add to the command."""
        settings = [f"--set {self.method.name}.train.{k}={str(v).lower()}" for k, v in self.changes.items()]
        methods = [f"--methods {self.method.name}"] if self.instead else []
        return " ".join([*methods, *([self.spread.words] if self.wider else []), *settings])


def launched_spread(environment: Mapping[str, str]) -> Spread:
    """How the command was started, by the variables of `accelerate launch` and torchrun (training/team/launch.py)."""
    number = int(environment.get("ROPO_BENCH_PROCESSES") or environment.get("WORLD_SIZE", "1"))
    sharded, offload = (
        environment.get(name, "").lower() in ("true", "1") for name in ("ACCELERATE_USE_FSDP", OFFLOAD)
    )
    return Spread(number, sharded, sharded and offload) if number > 1 else Spread()


def fit_on(memory: Memory, machine: Machine, spread: Spread) -> Fit | None:
    """Whether each device of a spread has room; None where that cannot be told."""
    available = machine.available(spread.num_devices)
    return None if available is None else fits(memory, available, spread.num_devices, spread.sharded, spread.offload)


def best_spread(memory: Memory, machine: Machine) -> tuple[Spread, Fit | None]:
    """How to train on all devices of a machine: whole on each if that fits, else sharded, else what comes closest."""
    number = machine.num_devices
    spreads = [Spread(number)] if number == 1 else [Spread(number), Spread(number, True)]
    fits_by_spread = [(spread, fit_on(memory, machine, spread)) for spread in spreads]
    for state in ("fits", "tight"):
        for spread, fit in fits_by_spread:
            if fit is not None and fit.state == state:
                return spread, fit
    return fits_by_spread[-1]


def ways_on(
    model: Anatomy, method: MethodRecipe, others: Sequence[MethodRecipe], machine: Machine, spread: Spread
) -> list[Way]:
    """What makes a training fit that does not fit over `spread`, whether each alone is enough or not.

    More devices and offload, leaner settings, and the methods `others` in its place, which train less. Where one
    change is not enough, leaner settings come with it; where they are not either, more devices.
    """
    leaner = _leaner(method.train)
    # Processes on a CPU share one memory.
    numbers = [n for n in NUM_DEVICES if n > (spread.num_devices if spread.sharded else 1) and machine.name != CPU]
    wider = [Spread(number, True) for number in numbers]
    offload = [Spread(max(2, spread.num_devices), True, True)] if wider else []
    tries = [
        [_Try(method, other, changes, wider=True) for changes in ({}, leaner) for other in some]
        for some in (wider, offload)
    ]
    tries += [[_Try(method, spread, {key: value})] for key, value in leaner.items()]
    for other in others:
        same_spread = [_Try(other, spread, changes, instead=True) for changes in ({}, leaner)]
        tries.append(same_spread + [_Try(other, more, leaner, instead=True, wider=True) for more in wider])
    ways = [_mildest(model, machine, some) for some in tries]
    if not any(way.fits for way in ways if way):
        ways.append(_mildest(model, machine, [_Try(method, spread, leaner)]))
    return [way for way in ways if way is not None]


def _leaner(train: TrainRecipe) -> dict[str, Any]:
    """The settings that would still lower a training's memory."""
    changes = {key: value for key, value in LEANER.items() if getattr(train, key) != value}
    if forward_tokens(train.model_copy(update={"micro_batch_size": 1})) == forward_tokens(train):
        changes.pop("micro_batch_size", None)
    return changes


def _mildest(model: Anatomy, machine: Machine, tries: Sequence[_Try]) -> Way | None:
    """The first that fits, else the last; None where nothing can be told."""
    ways = [way for way in (_way(model, machine, attempt) for attempt in tries) if way is not None]
    return next((way for way in ways if way.fits), ways[-1] if ways else None)


def _way(model: Anatomy, machine: Machine, attempt: _Try) -> Way | None:
    memory = training_memory(model, attempt.changed)
    fit = None if memory is None else fit_on(memory, machine, attempt.spread)
    if memory is None or fit is None:
        return None
    host = attempt.spread.device(memory).host
    room = not host or machine.host_bytes is None or host <= machine.host_bytes
    return Way(attempt.words, fit.needed_bytes, host, fit.state == "fits" and room)


def refusal(method: str, fit: Fit, spread: Spread, machine: Machine, ways: Sequence[Way]) -> UsageError:
    """One line: what is needed, what is there, and each way on that fits with its own figure."""
    where = "this machine's memory has" if machine.name == CPU else f"a device ({machine.name}) has"
    over = f" on each of {spread.num_devices} devices" if spread.num_devices > 1 else ""
    text = f"method {method}: training needs about {gib(fit.needed_bytes)}{over}, {where} {gib(fit.available_bytes)}"
    fitting = [_figure(way, machine) for way in ways if way.fits]
    if not fitting:
        return UsageError(f"{text}; no setting makes it fit: take devices with more memory, or a smaller base")
    return UsageError(f"{text}; ways on: {'; '.join(fitting)}")


def _figure(way: Way, machine: Machine) -> str:
    a_device = "" if machine.name == CPU else " a device"
    host = f" and {gib(way.host_bytes)} of the machine's memory" if way.host_bytes else ""
    return f"{way.change}: {gib(way.needed_bytes)}{a_device}{host}"


def gib(size: int) -> str:
    """A size for people."""
    return f"{size / GIB:,.1f} GiB"
