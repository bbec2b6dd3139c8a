"""How one method trains on a machine: over how many devices, whole or sharded, with gradient checkpointing or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ropo_bench.models.size import Anatomy
from ropo_bench.planning.machine import CPU, Machine
from ropo_bench.planning.memory import ACTIVATIONS_ERROR, DROPOUTS, Fit, Memory, training_memory
from ropo_bench.planning.ways import Spread, best_spread, fit_on
from ropo_bench.recipes.method import MethodRecipe


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to train a method, and whether it fits: memory and fit are those of each device."""

    spread: Spread
    gradient_checkpointing: bool
    memory: Memory
    fit: Fit | None

    @property
    def fits(self) -> bool:
        """Whether it fits for sure."""
        return self.fit is not None and self.fit.state == "fits"


def choose(model: Anatomy, method: MethodRecipe, machine: Machine, num_devices: int | None = None) -> Choice | None:
    """The fastest way to train over so many devices (default: all) that fits; None where nothing can be told.

    Whole copies before shards, and both before gradient checkpointing, which costs a forward pass. Without
    checkpointing a training must fit even if its activations are under-estimated by all that they may be, where the
    recipe has it. Where nothing fits: the recipe's own setting over the spread that comes closest. On a CPU nothing
    is chosen: one process, as the recipe says.
    """
    own = _with(model, method, method.train.gradient_checkpointing)
    if own is None:
        return None
    machine = machine if num_devices is None else replace(machine, num_devices=num_devices)
    if machine.name != CPU:
        for choice in _options(model, method, machine):
            if choice.fits and _is_safe(choice, method):
                return choice
    spread, fit = best_spread(own, machine)
    return Choice(spread, method.train.gradient_checkpointing, spread.device(own), fit)


def choices(model: Anatomy, method: MethodRecipe, machine: Machine) -> list[Choice]:
    """The best choice for 1, 2, 4 ... devices of a machine and for all of them, those that fit."""
    counts = [1 << power for power in range(machine.num_devices.bit_length()) if 1 << power < machine.num_devices]
    found = [choose(model, method, machine, count) for count in (*counts, machine.num_devices)]
    return [choice for choice in found if choice is not None and choice.fits]


def draws_by_process(method: MethodRecipe) -> bool:
    """Whether a training over another number of processes is another draw: dropout differs by process."""
    return any(method.adapter.options.get(name) for name in DROPOUTS)


def _options(model: Anatomy, method: MethodRecipe, machine: Machine) -> Iterator[Choice]:
    number = machine.num_devices
    for spread in [Spread(number)] if number == 1 else [Spread(number), Spread(number, True)]:
        for checkpointing in (False, True):
            memory = _with(model, method, checkpointing)
            if memory is not None:
                yield Choice(spread, checkpointing, spread.device(memory), fit_on(memory, machine, spread))


def _is_safe(choice: Choice, method: MethodRecipe) -> bool:
    if choice.gradient_checkpointing or not method.train.gradient_checkpointing or choice.fit is None:
        return True
    more = round((choice.memory.activations or 0) * ACTIVATIONS_ERROR)
    return choice.fit.needed_bytes + more <= choice.fit.available_bytes


def _with(model: Anatomy, method: MethodRecipe, checkpointing: bool) -> Memory | None:
    train = method.train.model_copy(update={"gradient_checkpointing": checkpointing})
    return training_memory(model, method.model_copy(update={"train": train}))
