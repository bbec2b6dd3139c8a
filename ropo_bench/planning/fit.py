"""Whether trainings fit: for `plan` on the best use of a machine's devices, for `run` as it was asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ropo_bench import planning
from ropo_bench.errors import UsageError
from ropo_bench.models.size import Anatomy
from ropo_bench.planning import Fit, Machine, Memory, Spread, Way
from ropo_bench.planning.choice import choose
from ropo_bench.planning.inventory import Inventory
from ropo_bench.planning.machine import CPU
from ropo_bench.recipes.load import load_methods
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.request import Request
from ropo_bench.store import Store
from ropo_bench.training.team.launch import ALONE, Launch

LIGHTER = "lora-dpo,ropo"  # rows that train less than all of a model, offered where that does not fit


@dataclass(frozen=True, slots=True)
class Room:
    """One method's memory on a machine; None where it cannot be told. ways: where it does not fit, what would."""

    method: str
    machine: Machine
    spread: Spread
    memory: Memory | None = None
    fit: Fit | None = None
    ways: tuple[Way, ...] = ()
    gradient_checkpointing: bool = False

    def plain(self) -> dict[str, Any]:
        """As JSON: memory on a device, the way it is spread over them, and whether it fits."""
        return {
            "spread": self.spread.words,
            "num_devices": self.spread.num_devices,
            "sharded": self.spread.sharded,
            "gradient_checkpointing": self.gradient_checkpointing,
            "fits": None if self.fit is None else self.fit.state,
            "memory_bytes": None if self.memory is None else self.memory.total,
            "memory": None if self.memory is None else asdict(self.memory),
            "ways_on": [asdict(way) for way in self.ways],
        }

    @property
    def words(self) -> str:
        """How it trains, as options say it."""
        return f"{self.spread.words}{' and gradient checkpointing' * self.gradient_checkpointing}"

    def refusal(self) -> UsageError:
        """Why it cannot be trained so, and the ways on."""
        assert self.fit is not None
        return planning.refusal(self.method, self.fit, self.spread, self.machine, self.ways)


def room_for(
    request: Request, method: MethodRecipe, model: Anatomy | None, machine: Machine, spread: Spread | None = None
) -> Room:
    """What a method's training needs of each device. spread: None for the best use of the machine's devices."""
    memory = None if model is None else planning.training_memory(model, method)
    checkpointing = method.train.gradient_checkpointing
    if memory is None or model is None:
        return Room(method.name, machine, spread or Spread(), gradient_checkpointing=checkpointing)
    choice = choose(model, method, machine) if spread is None else None
    if choice is not None:
        spread, fit, memory_here = choice.spread, choice.fit, choice.memory
        checkpointing = choice.gradient_checkpointing
    else:
        spread = spread or Spread()
        fit, memory_here = planning.fit_on(memory, machine, spread), spread.device(memory)
    if fit is None or fit.state != "no":
        return Room(method.name, machine, spread, memory_here, fit, gradient_checkpointing=checkpointing)
    lighter = [
        other.model_copy(update={"train": method.train})
        for other in load_methods(LIGHTER, suite=request.suite)
        if _trains_less(model, other, memory)
    ]
    ways = planning.ways_on(model, method, lighter, machine, spread)
    return Room(method.name, machine, spread, memory_here, fit, tuple(ways), checkpointing)


def _trains_less(model: Anatomy, other: MethodRecipe, than: Memory) -> bool:
    memory = planning.training_memory(model, other)
    return memory is not None and memory.optimizer < than.optimizer


def describe_refusal(rooms: Iterable[Room]) -> str | None:
    """One line about what cannot fit: the hungriest method with its ways on, and the names of the others."""
    full = [room for room in rooms if room.fit is not None and room.fit.state == "no"]
    if not full:
        return None
    worst = max(full, key=lambda room: room.fit.needed_bytes if room.fit else 0)
    others = ", ".join(room.method for room in full if room is not worst)
    return f"{worst.refusal()}{f'; {others} cannot fit either' if others else ''}"


def check_launch(request: Request, store: Store, note: Callable[[str], None], launch: Launch | None) -> Launch:
    """The launch that the command asks for, once its trainings fit this machine so; None: the one that fits best.

    Raises UsageError for a training that is still to be made and cannot fit.
    """
    if launch is None:
        return choose_launch(request, store, note)
    refuse_what_cannot_fit(request, store, note, Spread(launch.num_processes, launch.shard))
    return launch


def check_parallel(
    request: Request, store: Store, note: Callable[[str], None], launch: Launch | None, number: int
) -> Launch:
    """Refuse what cannot be trained by so many processes at a time; on a CPU they share its memory.

    Raises UsageError, for --processes and --shard too: with rows side by side the planner spreads each training.
    """
    if launch is not None:
        raise UsageError("--parallel: every training is spread by the planner; leave --processes and --shard out")
    machine = planning.this_machine()
    if machine.name != CPU:
        return choose_launch(request, store, note, machine)
    refuse_what_cannot_fit(request, store, note, Spread(number), machine)
    return ALONE


def choose_launch(
    request: Request, store: Store, note: Callable[[str], None], machine: Machine | None = None
) -> Launch:
    """How a run trains where the command does not say it: over all GPUs of this machine, each method its own way.

    On a CPU one process. Raises UsageError, before anything is loaded, for a training that cannot fit.
    """
    machine = planning.this_machine() if machine is None else machine
    if machine.name == CPU:
        refuse_what_cannot_fit(request, store, note, Spread(), machine)
        return ALONE
    rooms = _rooms_to_train(request, store, machine, None)
    _refuse(rooms, note)
    for room in rooms:
        note(f"{room.method}: trains with {room.words}")
    own = {
        room.method: Launch(room.spread.num_devices, room.spread.sharded, room.gradient_checkpointing)
        for room in rooms
    }
    return Launch(machine.num_devices, methods=own)


def refuse_what_cannot_fit(
    request: Request,
    store: Store,
    note: Callable[[str], None],
    spread: Spread | None = None,
    machine: Machine | None = None,
) -> None:
    """Before anything is loaded: raise UsageError for a training that is still to be made and cannot fit.

    note: is told of those that may not fit. spread: how it is to be trained (None: as this process was started).
    """
    machine = planning.this_machine() if machine is None else machine
    spread = planning.launched_spread(os.environ) if spread is None else spread
    _refuse(_rooms_to_train(request, store, machine, spread), note)


def _rooms_to_train(request: Request, store: Store, machine: Machine, spread: Spread | None) -> list[Room]:
    """The rooms of the methods that are still to be trained."""
    inventory = Inventory(request, store)
    return [
        room_for(request, method, inventory.anatomy, machine, spread)
        for method in request.methods
        if not all(inventory.is_trained(method, seed) for seed in request.training_seeds)
    ]


def _refuse(rooms: Sequence[Room], note: Callable[[str], None]) -> None:
    line = describe_refusal(rooms)
    if line is not None:
        raise UsageError(line)
    for room in rooms:
        if room.fit is not None and room.fit.state == "tight":
            note(
                f"{room.method}: training may need {planning.gib(room.fit.needed_bytes)}, there are "
                f"{planning.gib(room.fit.available_bytes)}; train.micro_batch_tokens lowers it"
            )
