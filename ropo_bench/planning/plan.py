"""The plan of a run as data: what is done, what is to do, its memory, disk, money and power."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ropo_bench import planning
from ropo_bench.models.size import Anatomy, trainable_parameters
from ropo_bench.planning.durations import ESTIMATED
from ropo_bench.planning.fit import describe_refusal, room_for
from ropo_bench.planning.inventory import DONE, Inventory, num_turns
from ropo_bench.planning.judging import judging
from ropo_bench.planning.power import Wanted, power
from ropo_bench.planning.roofline import NOTE
from ropo_bench.planning.timetable import Timetable, disk_peak, timetable
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.request import Request
from ropo_bench.store import Store

SCHEMA = 4


def plan(
    request: Request, store: Store, machine: planning.Machine | None = None, effects: Wanted | None = None
) -> dict[str, Any]:
    """The plan as JSON: sizes in bytes, None where something cannot be known beforehand."""
    here = machine is None
    machine = planning.this_machine() if machine is None else machine
    inventory = Inventory(request, store)
    steps = inventory.steps()
    table = timetable(request, inventory, steps, machine, here)
    trained = {(step.row, step.seed) for step in steps if step.stage in ("train", "merge") and step.state != DONE}
    questions = judging(request, steps)
    costs = [entry["cost_usd"] for entry in questions]
    rooms = [room_for(request, method, inventory.anatomy, machine) for method in request.methods]
    unfinished = [step for step in steps if step.state != DONE]
    untimed = sorted({f"{step.stage} {step.what}" for step in unfinished if step.seconds is None})
    return {
        "schema": SCHEMA,
        "suite": request.suite.name,
        "run": request.run_name(),
        "base": {
            "name": request.suite.base,
            "here": inventory.base is not None,
            "num_parameters": inventory.anatomy.num_parameters if inventory.anatomy else None,
        },
        "data": {"name": request.suite.data, "read": inventory.pairs.done, "num_pairs": inventory.num_pairs()},
        "nothing_cached_because": inventory.nothing_because,
        "steps": [asdict(step) for step in steps],
        "training": [
            _training(request, method, inventory, trained) | room.plain()
            for method, room in zip(request.methods, rooms, strict=True)
        ],
        "refused": describe_refusal(room for room in rooms if room.method in {name for name, _ in trained}),
        "generation": _generation(request, inventory.anatomy),
        "machine": asdict(machine),
        "disk": _disk(request, inventory.anatomy, trained, store)
        | {"peak_bytes": disk_peak(request, inventory, table)},
        "judging": questions,
        "cost_usd": None if None in costs else sum(costs),
        "seconds": None if untimed else sum(step.seconds or 0.0 for step in unfinished),
        "seconds_known": sum(step.seconds or 0.0 for step in unfinished),
        "no_basis_for_time": untimed,
        "schedule": table.plain(),
        "power": power(request, store, effects or Wanted()),
        "assumptions": _assumptions(request, table),
    }


def _assumptions(request: Request, table: Timetable) -> dict[str, str]:
    needed = {"memory": bool(request.methods), "judge tokens": bool(request.judges), "time": True}
    notes = {name: note for name, note in planning.NOTES.items() if needed[name]}
    if any(option.basis == ESTIMATED for option in table.options.values()):
        notes["estimates"] = NOTE
    return notes


def _training(
    request: Request, method: MethodRecipe, inventory: Inventory, trained: set[tuple[str, int]]
) -> dict[str, Any]:
    model, pairs = inventory.anatomy, inventory.num_pairs()
    trainable = None if model is None else trainable_parameters(model, method.adapter)
    return {
        "method": method.name,
        "seeds_to_do": sum((method.name, seed) in trained for seed in request.training_seeds),
        "num_steps": None if pairs is None else planning.num_steps(pairs, method.train),
        "trainable_params": trainable,
        "merging_memory_bytes": None if model is None else planning.merging_memory(model),
    }


def _generation(request: Request, model: Anatomy | None) -> list[dict[str, Any]]:
    """For each task with prompts: answers a model gives, and the memory of one batch."""
    dtype = request.suite.merge.dtype
    return [
        {
            "task": task.name,
            "num_answers": num_turns(task)[1] * task.decoding.num_samples,
            "memory_bytes": None if model is None else planning.generation_memory(model, dtype, task),
        }
        for task in request.tasks
        if task.decoding is not None
    ]


def _disk(request: Request, model: Anatomy | None, trained: set[tuple[str, int]], store: Store) -> dict[str, Any]:
    """What the rows to train will keep, the largest checkpoint beside it, and what is free."""
    needed: int | None = 0
    largest = 0
    for method in request.methods:
        rows = sum((method.name, seed) in trained for seed in request.training_seeds)
        trainable = None if model is None else trainable_parameters(model, method.adapter)
        if rows and (model is None or trainable is None):
            needed = None
        elif rows and needed is not None and model is not None and trainable is not None:
            needed += rows * planning.kept_bytes(model, trainable, request.suite.merge.dtype)
            largest = max(largest, planning.checkpoint_bytes(trainable))
    total = None if needed is None else needed + largest
    return {"needed_bytes": total, "of_it_temporary_bytes": largest, "free_bytes": planning.free_bytes(store.root)}
