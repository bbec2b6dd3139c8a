"""Rows side by side on this machine: which slots there are, what each block takes of them, and then doing it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ropo_bench.errors import UsageError
from ropo_bench.pipeline import Ahead, Made
from ropo_bench.planning.choice import Choice, choose
from ropo_bench.planning.inventory import Inventory
from ropo_bench.planning.machine import CPU as NO_DEVICE
from ropo_bench.planning.machine import Machine, this_machine
from ropo_bench.planning.timetable import Timetable, graph_of, timetable
from ropo_bench.request import Request
from ropo_bench.runs.provenance import hardware
from ropo_bench.stages.bench import Bench
from ropo_bench.stages.parallel.crew import VISIBLE, Crew
from ropo_bench.stages.parallel.executor import execute
from ropo_bench.stages.parallel.graph import Graph, Node
from ropo_bench.stages.parallel.order import Order, is_made
from ropo_bench.stages.parallel.schedule import CPU, DEVICE, JUDGE, Demand, schedule
from ropo_bench.training.team.launch import ALONE, Launch

if TYPE_CHECKING:
    from ropo_bench.judging.ledger import Budget

GUESSED_SECONDS: Mapping[str, float] = {"policy": 600, "reference": 120, "completions": 60, "merged": 20}
"""Of a stage whose time nothing tells; they only order what is ready at the same time."""
GUESS = 10.0


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of a machine: how many, and how many devices each has (0 on a CPU, whose threads they share)."""

    number: int
    devices: Sequence[Sequence[str]]

    @property
    def devices_each(self) -> int:
        """Devices of a slot."""
        return len(self.devices[0]) if self.devices else 0


def find_slots(number: int, machine: Machine, environment: Mapping[str, str] = os.environ) -> Slots:
    """Share the devices of this machine among so many slots; raises UsageError where that leaves some over."""
    if machine.name == NO_DEVICE:
        return Slots(number, ())
    if machine.num_devices % number:
        raise UsageError(f"--parallel {number}: {machine.num_devices} devices cannot be shared evenly among {number}")
    visible = environment.get(VISIBLE)
    names = [name.strip() for name in visible.split(",")] if visible else list(map(str, range(machine.num_devices)))
    each = machine.num_devices // number
    return Slots(number, [names[slot * each : (slot + 1) * each] for slot in range(number)])


def rows_side_by_side(request: Request, number: int, machine: Machine | None = None) -> Ahead:
    """What makes all rows of a request by so many workers at a time."""
    machine = this_machine() if machine is None else machine
    slots = find_slots(number, machine)

    def make(bench: Bench, budget: Budget | None, made: Made) -> dict[tuple[str, int], BaseException]:
        return _make(request, bench, budget, made, slots, machine)

    return make


def _make(
    request: Request, bench: Bench, budget: Budget | None, made: Made, slots: Slots, machine: Machine
) -> dict[tuple[str, int], BaseException]:
    graph = graph_of(request)
    graph = graph if slots.devices else by_row(graph)
    order = Order(
        runs=bench.store.root,
        suite=request.suite,
        methods=list(request.methods),
        tasks=list(request.tasks),
        judges=dict(request.judges),
        checkpoints=dict(request.checkpoints),
    )
    left = _needed({name for name, node in graph.items() if not is_made(bench, order, node)}, graph)
    inventory = Inventory(request, bench.store)
    table = timetable(request, inventory, inventory.steps(), machine, here=True)
    shares = Shares(request, inventory, table, slots, machine)
    demands = {name: shares.demand(node) for name, node in graph.items() if name in left}
    launches = {
        graph[name].block: shares.launch(graph[name], demand.slots)
        for name, demand in demands.items()
        if graph[name].stage in ("policy", "reference")
    }
    capacity = {DEVICE: slots.number, CPU: slots.number, JUDGE: 1}
    placements = schedule(graph, demands, capacity)
    threads = max(1, hardware()["cores"] // slots.number)
    row_of = {name: (node.row, node.seed) for name, node in graph.items()}
    with Crew(order, bench.progress, slots.devices, launches, threads, budget) as crew:
        failures = execute(graph, demands, capacity, placements, crew.work, lambda name: made(*row_of[name]))
    rows: dict[tuple[str, int], BaseException] = {}
    for name, error in failures.items():
        rows.setdefault(row_of[name], error)
    return rows


def by_row(graph: Graph) -> Graph:
    """The graph with a row's model in one block and what is scored after it in another: no slot differs on a CPU.

    Then a row costs the start of two processes, and of one for each task that a judge is asked about.
    """
    return {name: replace(node, block=_row_block(node)) for name, node in graph.items()}


def _row_block(node: Node) -> str:
    if node.judged or node.stage in ("pairs", "reference"):
        return node.block
    apart = node.stage == "scores" and node.block == node.name
    return f"{'scores' if apart else 'model'} {node.row} {node.seed}"


def _needed(left: set[str], graph: Graph) -> set[str]:
    """What is to make, without reference passes that no training reads any more."""
    read = {need for name in left if graph[name].stage == "policy" for need in graph[name].needs}
    return {name for name in left if graph[name].stage != "reference" or name in read}


@dataclass(frozen=True, slots=True)
class Shares:
    """What nodes take of the slots: as the timetable has it, where times are known, else the least that fits."""

    request: Request
    inventory: Inventory
    table: Timetable
    slots: Slots
    machine: Machine

    def demand(self, node: Node) -> Demand:
        """Slots and seconds of a node; a judge is asked about one row at a time."""
        option = self.table.options.get(node.name)
        seconds = GUESSED_SECONDS.get(node.stage, GUESS) if option is None else option.demand.seconds
        if not self.slots.devices:
            return Demand(JUDGE if node.judged else DEVICE, 1, seconds)
        if option is not None:
            place = JUDGE if option.demand.place.startswith(JUDGE) else option.demand.place
            return Demand(place, self._share(option.demand.slots) if place == DEVICE else 1, seconds)
        if node.judged:
            local = self.request.judges[node.what].is_local
            return Demand(DEVICE if local else JUDGE, 1, seconds)
        if node.stage == "pairs" or (node.stage == "scores" and node.block == node.name):
            return Demand(CPU, 1, seconds)
        if node.stage == "reference":
            return Demand(DEVICE, self.slots.number, seconds)
        return Demand(DEVICE, self._least(node) if node.stage == "policy" else 1, seconds)

    def _share(self, num_devices: int) -> int:
        return math.ceil(num_devices / self.slots.devices_each)

    def _least(self, node: Node) -> int:
        """The fewest slots that a training fits."""
        for width in range(1, self.slots.number):
            choice = self._choice(node, width)
            if choice is not None and choice.fits:
                return width
        return self.slots.number

    def _choice(self, node: Node, width: int) -> Choice | None:
        model = self.inventory.anatomy
        method = next(method for method in self.request.methods if method.name == node.row)
        return None if model is None else choose(model, method, self.machine, width * self.slots.devices_each)

    def launch(self, node: Node, width: int) -> Launch:
        """The processes of a training or a reference pass on so many slots."""
        if not self.slots.devices:
            return ALONE
        choice = self._choice(node, width) if node.stage == "policy" else None
        number = width * self.slots.devices_each
        if choice is None:
            return Launch(number)
        return Launch(number, choice.spread.sharded, choice.gradient_checkpointing)
