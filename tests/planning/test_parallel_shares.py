"""What each block takes of a node's slots when rows run side by side, and how its training is launched."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.planning.devices import read_machine
from ropo_bench.planning.inventory import Inventory
from ropo_bench.planning.machine import Machine
from ropo_bench.planning.memory import reads_reference
from ropo_bench.planning.parallel import Shares, by_row, find_slots
from ropo_bench.planning.timetable import timetable
from ropo_bench.request import Asked, resolve
from ropo_bench.stages.parallel.graph import Graph, make_graph
from ropo_bench.stages.parallel.schedule import CPU, DEVICE, JUDGE, Demand
from ropo_bench.store import Store
from ropo_bench.training.team.launch import ALONE, Launch

GIB = 1 << 30
REQUEST = resolve(Asked("ropo,dpo", "llama3-8b", judge="gpt-4.1"))
GRAPH: Graph = make_graph(REQUEST.methods, [0], REQUEST.tasks, REQUEST.judges, reads_reference=reads_reference)


def shares(machine: Machine, number: int, folder: Path) -> Shares:
    inventory = Inventory(REQUEST, Store(folder))
    table = timetable(REQUEST, inventory, inventory.steps(), machine, here=True)
    return Shares(REQUEST, inventory, table, find_slots(number, machine, {}), machine)


@pytest.mark.parametrize(("number", "each"), [(8, 1), (4, 2)])
def test_every_training_fits_what_it_gets(number: int, each: int, tmp_path: Path) -> None:
    own = shares(read_machine("8xH100-80G"), number, tmp_path)
    demands = {name: own.demand(node) for name, node in GRAPH.items()}
    assert all(demand.slots <= number for demand in demands.values() if demand.place == DEVICE)
    dpo, ropo = GRAPH["policy dpo seed 0"], GRAPH["policy ropo seed 0"]
    launch = own.launch(dpo, demands[dpo.name].slots)
    assert (launch.shard, launch.gradient_checkpointing) == (True, True)
    assert launch.num_processes == demands[dpo.name].slots * each >= 4
    assert own.launch(ropo, demands[ropo.name].slots).shard is False
    reference = next(node for node in GRAPH.values() if node.stage == "reference")
    assert own.launch(reference, demands[reference.name].slots) == Launch(8)
    places = {node.stage: demands[node.name].place for node in GRAPH.values() if not node.judged}
    assert (places["pairs"], places["merged"], places["completions"]) == (CPU, DEVICE, DEVICE)
    assert {demands[node.name].place for node in GRAPH.values() if node.judged} == {JUDGE}


def test_without_known_times_a_training_gets_the_fewest_slots_that_it_fits(tmp_path: Path) -> None:
    own = shares(Machine("Unheard-of", 8, 80 * GIB, None), 8, tmp_path)
    assert own.demand(GRAPH["policy dpo seed 0"]).slots == 3
    assert own.demand(GRAPH["policy ropo seed 0"]).slots == 1


def test_on_a_cpu_a_row_is_two_processes_of_one_slot(tmp_path: Path) -> None:
    own = shares(Machine("CPU", 1, 500 * GIB, 500 * GIB), 2, tmp_path)
    blocks = {node.block for node in by_row(GRAPH).values() if (node.row, node.judged) == ("ropo", False)}
    assert blocks == {"model ropo 0", "scores ropo 0"}
    policy = GRAPH["policy ropo seed 0"]
    assert own.demand(policy) == Demand(DEVICE, 1, own.demand(policy).seconds)
    assert own.launch(policy, 1) == ALONE
