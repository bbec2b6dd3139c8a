"""Are rows side by side worth their name? python -m benchmarks.schedule [--json] [--speed N]

The flagship command (four methods, three seeds, the SFT model) on eight slots, its stages as sleeps that last as an
audit of one 8 x H100 node says, scaled down; then 1,000 stages on 64 slots. The executor is the one that runs stages.
The bars: the makespan is at most 1.10 of what cannot be beaten (the longest chain, or work / slots), and planning and
dispatching take at most 50 ms a stage. Exits 1 where one is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from ropo_bench.planning import reads_reference
from ropo_bench.planning.durations import ESTIMATED, Option
from ropo_bench.planning.timetable import place
from ropo_bench.request import Asked, resolve
from ropo_bench.stages.parallel.executor import execute
from ropo_bench.stages.parallel.graph import Graph, Node, make_graph
from ropo_bench.stages.parallel.schedule import CPU, DEVICE, Block, Demand, Placement, lower_bound, makespan, schedule

NODE = {DEVICE: 8, CPU: 8, "judge": 1}
LARGE = {DEVICE: 64, CPU: 32, "judge": 4}
NUM_STAGES = 1000
MAX_RATIO, MAX_OVERHEAD_SECONDS = 1.10, 0.050
# Minutes a stage: of the audit's totals their thirteenth or twelfth part, one a model; judges' calls one a task.
# Training: 14 pairs a second and device for adapters (61,135 pairs), 13 minutes of a whole node for all weights.
MERGE, START, ANSWERS, COMMONSENSE, JUDGE, SCORE = 3.5, 1.7, 0.9, 6.0, 0.5, 0.5
ENERGY = {"dpo": 3.7}  # where every module changed; little elsewhere
ADAPTER, FULL, REFERENCE, PAIRS, PROCESS = 73.0, 13.0, 6.0, 1.0, 0.7


def flagship() -> tuple[Graph, dict[str, list[Option]]]:
    """The graph of the flagship command, and the ways to make each stage; in minutes."""
    request = resolve(Asked("ropo,dpo,lora-dpo,oft", "llama3-8b", seeds=3, judge="gpt-4.1"))
    graph = make_graph(
        request.methods, request.training_seeds, request.tasks, request.judges, reads_reference=reads_reference
    )
    firsts = {node.block: node.name for node in reversed(list(graph.values()))}
    return graph, {
        name: [Option(demand, ESTIMATED) for demand in _demands(node, firsts[node.block] == name)]
        for name, node in graph.items()
    }


def _demands(node: Node, first: bool) -> list[Demand]:
    """The ways to make a stage; a training of all weights takes the whole node, one of an adapter any share of it."""
    if node.stage == "policy":
        widths, minutes = ((8,), 8 * FULL) if node.row == "dpo" else ((1, 2, 4, 8), ADAPTER)
        return [Demand(DEVICE, width, PROCESS + minutes / width) for width in widths]
    if node.judged:
        return [Demand("judge", 1, JUDGE)]
    whole = {"pairs": (CPU, 1, PAIRS), "reference": (DEVICE, 8, PROCESS + REFERENCE), "merged": (DEVICE, 1, MERGE)}
    if node.stage in whole:
        return [Demand(*whole[node.stage])]
    if node.stage == "completions":
        return [Demand(DEVICE, 1, ANSWERS + START * first)]
    if node.what == "commonsense":
        return [Demand(DEVICE, 1, COMMONSENSE + START * first)]
    return [Demand(CPU, 1, ENERGY.get(node.row, SCORE) if node.what == "energy" else SCORE)]


def many_stages(number: int = NUM_STAGES) -> tuple[Graph, dict[str, Demand]]:
    """A graph of so many stages of random lengths, minutes; rows of ten, as a suite's."""
    draw = random.Random(0)
    nodes: dict[str, Node] = {}
    demands: dict[str, Demand] = {}
    kinds = [(DEVICE, (1, 2, 8, 64)), *[(DEVICE, (1,))] * 5, *[(CPU, (1,))] * 3, ("judge", (1,))]
    for count in range(number):
        row, part = divmod(count, len(kinds))
        name, (kind, widths) = f"{row}.{part}", kinds[part]
        width = draw.choices(widths, [8, 4, 2, 0.1][: len(widths)])[0]
        needs = (f"{row}.{part - 1}",) if part else ()
        nodes[name] = Node(name, "scores", str(row), needs=needs, block=name)
        long = draw.uniform(20, 60) / width if not part else draw.uniform(1, 5)
        demands[name] = Demand(kind, width, 0.2 if kind == "judge" else long)
    return nodes, demands


class Sleeper:
    """Stages as sleeps, and which of them were made."""

    def __init__(self, demands: Mapping[str, Demand], speed: float) -> None:
        self.demands, self.speed = demands, speed
        self.made: list[str] = []
        self._lock = threading.Lock()

    def work(self, block: Block, slots: tuple[int, ...], told: Callable[[str], None]) -> None:
        """Sleep as long as each node takes."""
        for node in block.nodes:
            time.sleep(self.demands[node.name].seconds / self.speed)
            with self._lock:
                self.made.append(node.name)
            told(node.name)


def simulate(
    graph: Graph,
    demands: Mapping[str, Demand],
    capacity: Mapping[str, int],
    placements: Sequence[Placement],
    speed: float,
) -> float:
    """Run the schedule in sleeps; returns how long it took, in minutes."""
    sleeper = Sleeper(demands, speed)
    began = time.perf_counter()
    failures = execute(graph, demands, capacity, placements, sleeper.work)
    took = time.perf_counter() - began
    assert failures == {}
    assert sorted(sleeper.made) == sorted(demands)
    return took * speed


def measure(speed: float, large_speed: float) -> dict[str, float]:
    """Both simulations; minutes, but for the overhead in seconds a stage."""
    graph, options = flagship()
    groups = [[name] for name, some in options.items() if len(some) > 1]
    began = time.perf_counter()
    chosen, placements = place(graph, options, NODE, groups)
    planning = time.perf_counter() - began
    demands = {name: option.demand for name, option in chosen.items()}
    bound = lower_bound(graph, demands, NODE)
    took = simulate(graph, demands, NODE, placements, speed)
    large, wanted = many_stages()
    began = time.perf_counter()
    plan = schedule(large, wanted, LARGE)
    seconds = time.perf_counter() - began
    cpu = time.process_time()
    large_took = simulate(large, wanted, LARGE, plan, large_speed)
    dispatching = time.process_time() - cpu
    return {
        "num_stages": len(graph),
        "least_minutes": bound,
        "planned_minutes": makespan(placements),
        "simulated_minutes": took,
        "ratio": took / bound,
        "planning_seconds": planning,
        "large_num_stages": len(large),
        "large_ratio": large_took / lower_bound(large, wanted, LARGE),
        "large_planned_ratio": makespan(plan) / lower_bound(large, wanted, LARGE),
        "large_overhead_seconds_a_stage": (seconds + dispatching) / len(large),
    }


def main() -> int:
    """Measure, print, and say whether the bars are held."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options.add_argument("--speed", type=float, default=10.0, help="simulated minutes a second")
    given = options.parse_args()
    figures = measure(given.speed, 4 * given.speed)
    bars = {
        "makespan <= 1.10 of the bound": figures["ratio"] <= MAX_RATIO,
        "overhead <= 50 ms a stage": figures["large_overhead_seconds_a_stage"] <= MAX_OVERHEAD_SECONDS,
    }
    if given.json:
        print(json.dumps({"schema": 1, **figures, "bars": bars}, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name}: {value:,.4g}")
        for name, held in bars.items():
            print(f"{name}: {'pass' if held else 'FAIL'}")
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
