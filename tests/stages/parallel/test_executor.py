"""Doing a schedule: what is needed is there before, no slot has two owners, a failure stops only what needs it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings

from benchmarks.schedule import MAX_RATIO, NODE, flagship
from ropo_bench.planning.timetable import place
from ropo_bench.stages.parallel.executor import execute
from ropo_bench.stages.parallel.graph import Graph
from ropo_bench.stages.parallel.schedule import DEVICE, Block, Demand, lower_bound, makespan, schedule
from tests.stages.parallel.test_schedule import CAPACITY, graphs, node


class Watcher:
    """Work that takes no time and notes what it saw."""

    def __init__(self, graph: Graph, demands: dict[str, Demand], failing: str = "") -> None:
        self.graph, self.demands, self.failing = graph, demands, failing
        self.made: list[str] = []
        self.faults: list[str] = []
        self.owners: Counter[tuple[str, int]] = Counter()
        self.lock = threading.Lock()

    def work(self, block: Block, slots: tuple[int, ...], told: Callable[[str], None]) -> None:
        with self.lock:
            self.owners.update((block.place, slot) for slot in slots)
            self.faults += [f"{key} has two owners" for key, count in self.owners.items() if count > 1]
            self.faults += [] if len(slots) == block.slots else [f"{block.name} has {slots}"]
        for member in block.nodes:
            if member.name == self.failing:
                with self.lock:
                    self.owners.subtract((block.place, slot) for slot in slots)
                raise RuntimeError("no luck")
            with self.lock:
                self.faults += [f"{need} comes after {member.name}" for need in member.needs if need not in self.made]
                self.made.append(member.name)
            told(member.name)
        with self.lock:
            self.owners.subtract((block.place, slot) for slot in slots)


@given(graphs())
@settings(max_examples=60)
def test_every_stage_is_made_once_after_what_it_needs_on_slots_of_its_own(
    case: tuple[Graph, dict[str, Demand]],
) -> None:
    watcher = Watcher(*case)
    assert execute(*case, CAPACITY, schedule(*case, CAPACITY), watcher.work) == {}
    assert watcher.faults == []
    assert sorted(watcher.made) == sorted(case[0])


def test_a_failure_stops_what_needs_it_and_nothing_else() -> None:
    graph = {name: node(name, *needs) for name, needs in {"a": (), "b": ("a",), "c": ("b",), "d": ("a",)}.items()}
    demands = dict.fromkeys(graph, Demand(DEVICE, 1, 1))
    watcher = Watcher(graph, demands, failing="b")
    failures = execute(graph, demands, {DEVICE: 2}, schedule(graph, demands, {DEVICE: 2}), watcher.work)
    assert {name: str(error) for name, error in failures.items()} == dict.fromkeys("bc", "no luck")
    assert sorted(watcher.made) == ["a", "d"]


def test_what_a_block_made_before_it_failed_is_there_for_others() -> None:
    graph = {"a": node("a", block="x"), "b": node("b", block="x"), "c": node("c", "a"), "d": node("d", "b")}
    demands = dict.fromkeys(graph, Demand(DEVICE, 1, 1))
    watcher = Watcher(graph, demands, failing="b")
    failures = execute(graph, demands, {DEVICE: 2}, schedule(graph, demands, {DEVICE: 2}), watcher.work)
    assert set(failures) == {"b", "d"}
    assert sorted(watcher.made) == ["a", "c"]


def test_the_flagships_schedule_is_near_what_cannot_be_beaten() -> None:
    graph, options = flagship()
    chosen, placements = place(graph, options, NODE, [[name] for name, some in options.items() if len(some) > 1])
    demands = {name: option.demand for name, option in chosen.items()}
    assert makespan(placements) <= MAX_RATIO * lower_bound(graph, demands, NODE)
