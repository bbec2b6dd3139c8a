"""Who runs where and when on a machine's devices: the graph of a request with durations, placed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ropo_bench import planning
from ropo_bench.models.size import trainable_parameters
from ropo_bench.planning.choice import draws_by_process
from ropo_bench.planning.durations import CPU_SLOTS, Durations, Option
from ropo_bench.planning.inventory import Inventory, Step
from ropo_bench.planning.machine import Machine
from ropo_bench.request import Request
from ropo_bench.stages.parallel.graph import Graph, Node, make_graph
from ropo_bench.stages.parallel.schedule import CPU, DEVICE, JUDGE, Placement, lower_bound, makespan, schedule

MAX_TRIES = 300


@dataclass(frozen=True, slots=True)
class Timetable:
    """A schedule of what is to do; untimed: stages without any basis for their time, and then no schedule."""

    graph: Graph
    options: Mapping[str, Option]
    placements: Sequence[Placement]
    one_at_a_time_seconds: float
    bound_seconds: float
    untimed: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        """From the beginning to the end."""
        return makespan(self.placements)

    def plain(self) -> dict[str, Any] | None:
        """As JSON: who runs where and when, seconds from the beginning; None where the times are not known."""
        if self.untimed:
            return None
        bases = {option.basis for option in self.options.values()}
        return {
            "seconds": self.seconds,
            "one_at_a_time_seconds": self.one_at_a_time_seconds,
            "least_seconds": self.bound_seconds,
            "basis": " and ".join(sorted(bases)),
            "stages": [self._plain(placement) for placement in self.placements],
        }

    def _plain(self, placement: Placement) -> dict[str, Any]:
        node, option = self.graph[placement.node], self.options[placement.node]
        spread = None if option.choice is None else option.choice.spread.words
        return {
            "name": node.name,
            "stage": node.stage,
            "row": node.row,
            "seed": node.seed,
            "what": node.what,
            "place": placement.place,
            "slots": list(placement.slots),
            "start": placement.start,
            "end": placement.end,
            "basis": option.basis,
            "spread": spread,
            "sharded": option.choice is not None and option.choice.spread.sharded,
            "gradient_checkpointing": None if option.choice is None else option.choice.gradient_checkpointing,
        }


def timetable(
    request: Request, inventory: Inventory, steps: Sequence[Step], machine: Machine, here: bool
) -> Timetable:
    """Place what is to do; here: the machine is this one, so that what finished stages took holds for it."""
    graph = graph_of(request)
    durations = Durations(request, inventory, machine, graph, steps, here)
    options = {node.name: durations.options(node) for node in graph.values() if not durations.is_done(node)}
    untimed = sorted({_words(graph[name]) for name, some in options.items() if not some})
    if untimed:
        return Timetable(graph, {}, (), 0.0, 0.0, untimed)
    slots = max(1, machine.num_devices)
    capacity = {DEVICE: slots, CPU: CPU_SLOTS, **{f"{JUDGE} {judge.name}": 1 for judge in request.judges.values()}}
    chosen, placements = place(graph, options, capacity, _groups(request, graph, options))
    widest = sum(some[-1].demand.seconds for some in options.values())
    demands = {name: option.demand for name, option in chosen.items()}
    return Timetable(graph, chosen, placements, widest, lower_bound(graph, demands, capacity))


def graph_of(request: Request) -> Graph:
    """The stages of a request, those that are made already among them."""
    return make_graph(
        request.methods,
        request.training_seeds,
        request.tasks,
        request.judges,
        request.checkpoints,
        request.canaries,
        planning.reads_reference,
    )


def _words(node: Node) -> str:
    """A stage and what it is about, whatever its seed."""
    return f"{node.stage} {node.what or node.row}".strip()


def _groups(request: Request, graph: Graph, options: Mapping[str, Sequence[Option]]) -> list[list[str]]:
    """Trainings that could run over several numbers of devices; those of one draw must all have the same."""
    groups: list[list[str]] = []
    for method in request.methods:
        own = [node.name for node in graph.values() if (node.stage, node.row) == ("policy", method.name)]
        names = [name for name in own if len(options.get(name, ())) > 1]
        groups += [names] if draws_by_process(method) and names else [[name] for name in names]
    return groups


def place(
    graph: Graph,
    options: Mapping[str, Sequence[Option]],
    capacity: Mapping[str, int],
    groups: Sequence[Sequence[str]],
) -> tuple[dict[str, Option], tuple[Placement, ...]]:
    """Begin with the fewest devices for every training, then widen or narrow one after another while it helps."""
    chosen = {name: some[0] for name, some in options.items()}

    def placed(picked: Mapping[str, Option]) -> tuple[Placement, ...]:
        return schedule(graph, {name: option.demand for name, option in picked.items()}, capacity)

    best, tries = placed(chosen), 0
    while tries < MAX_TRIES:
        rounds: list[tuple[float, int, dict[str, Option], tuple[Placement, ...]]] = []
        for changes in _moves(graph, options, chosen, groups):
            tries += 1
            attempt = placed({**chosen, **changes})
            rounds.append((makespan(attempt), len(rounds), changes, attempt))
        length, _, changes, attempt = min(rounds, key=lambda row: row[:2], default=(makespan(best), 0, {}, best))
        if length > makespan(best) - 1.0:
            break
        chosen, best = {**chosen, **changes}, attempt
    return chosen, best


def _moves(
    graph: Graph,
    options: Mapping[str, Sequence[Option]],
    chosen: Mapping[str, Option],
    groups: Sequence[Sequence[str]],
) -> Iterator[dict[str, Option]]:
    """Every other width of one group; of the seeds of a method that have the same width, the first stands for all."""
    seen = set()
    for group in groups:
        own = chosen[group[0]].demand.slots
        for number, option in enumerate(options[group[0]]):
            move = (graph[group[0]].row, own, option.demand.slots)
            if option.demand.slots != own and move not in seen:
                seen.add(move)
                yield {name: options[name][number] for name in group}


def disk_peak(request: Request, inventory: Inventory, table: Timetable) -> int | None:
    """The most bytes on the disk at once: policies and merged models that stay, checkpoints while they train."""
    model = inventory.anatomy
    if model is None or table.untimed:
        return None
    changes: list[tuple[float, int]] = []
    sizes = {method.name: trainable_parameters(model, method.adapter) for method in request.methods}
    for placement in table.placements:
        node = table.graph[placement.node]
        trainable = sizes.get(node.row)
        if node.stage == "policy":
            if trainable is None:
                return None
            checkpoint = planning.checkpoint_bytes(trainable)
            changes += [(placement.start, checkpoint), (placement.end, 4 * trainable - checkpoint)]
        elif node.stage == "merged" and trainable is not None:
            changes.append((placement.start, planning.kept_bytes(model, 0, request.suite.merge.dtype)))
    total = peak = 0
    for _, change in sorted(changes):
        total += change
        peak = max(peak, total)
    return peak
