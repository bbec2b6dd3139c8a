"""`ropo-bench plan`: what a run would do and need, with nothing made, fetched or asked."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ropo_bench import planning
from ropo_bench.commands.plan_steps import DONE, Inventory, Step, num_turns
from ropo_bench.judges import JudgeRecipe
from ropo_bench.judging import canaries
from ropo_bench.methods import MethodRecipe
from ropo_bench.pipeline import SFT, Request
from ropo_bench.provenance import hardware
from ropo_bench.runs import Store
from ropo_bench.shapes import Anatomy, trainable_parameters
from ropo_bench.tasks import TaskRecipe

SCHEMA = 1


def plan_command(request: Request, store: Store, json: bool) -> None:
    """Print the plan of a request; raises UsageError for a base, data or prompts that cannot be."""
    record = plan(request, store)
    if json:
        print(jsonlib.dumps(record, indent=1))
        return
    from ropo_bench.commands.plan_text import print_plan

    print_plan(record)


def plan(request: Request, store: Store) -> dict[str, Any]:
    """The plan as JSON: sizes in bytes, None where something cannot be known beforehand."""
    inventory = Inventory(request, store)
    steps = inventory.steps()
    trained = {(step.row, step.seed) for step in steps if step.stage in ("train", "merge") and step.state != DONE}
    judging = _judging(request, steps) + _canaries(request, steps)
    costs = [entry["cost_usd"] for entry in judging]
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
        "training": [_training(request, method, inventory, trained) for method in request.methods],
        "generation": _generation(request, inventory.anatomy),
        "memory_here": _memory_here(),
        "disk": _disk(request, inventory.anatomy, trained, store),
        "judging": judging,
        "cost_usd": None if None in costs else sum(costs),
        "seconds": None if untimed else sum(step.seconds or 0.0 for step in unfinished),
        "seconds_known": sum(step.seconds or 0.0 for step in unfinished),
        "no_basis_for_time": untimed,
        "detectable": [
            asdict(found)
            for task in request.tasks
            if task.prompts is not None
            for found in planning.detectable(task, num_turns(task)[0])
        ],
        "assumptions": _assumptions(request),
    }


def _assumptions(request: Request) -> dict[str, str]:
    needed = {"memory": bool(request.methods), "judge tokens": bool(request.judges), "time": True}
    return {name: note for name, note in planning.NOTES.items() if needed[name]}


def _training(
    request: Request, method: MethodRecipe, inventory: Inventory, trained: set[tuple[str, int]]
) -> dict[str, Any]:
    model, pairs = inventory.anatomy, inventory.num_pairs()
    trainable = None if model is None else trainable_parameters(model, method.adapter)
    entry: dict[str, Any] = {
        "method": method.name,
        "seeds_to_do": sum((method.name, seed) in trained for seed in range(request.seeds)),
        "num_steps": None if pairs is None else planning.num_steps(pairs, method.train),
        "trainable_params": trainable,
        "memory_bytes": None,
        "memory": None,
        "merging_memory_bytes": None if model is None else planning.merging_memory(model),
    }
    if model is not None and trainable is not None:
        memory = planning.training_memory(model, trainable, method.adapter.name != "full", method.train)
        entry |= {"memory_bytes": memory.total, "memory": asdict(memory)}
    return entry


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


def _memory_here() -> dict[str, Any]:
    found = hardware()
    return {"gpus": found["gpus"], "memory_bytes": found["memory_bytes"], "cores": found["cores"]}


def _disk(request: Request, model: Anatomy | None, trained: set[tuple[str, int]], store: Store) -> dict[str, Any]:
    """What the rows to train will keep, the largest checkpoint beside it, and what is free."""
    needed: int | None = 0
    largest = 0
    for method in request.methods:
        rows = sum((method.name, seed) in trained for seed in range(request.seeds))
        trainable = None if model is None else trainable_parameters(model, method.adapter)
        if rows and (model is None or trainable is None):
            needed = None
        elif rows and needed is not None and model is not None and trainable is not None:
            needed += rows * planning.kept_bytes(model, trainable, request.suite.merge.dtype)
            largest = max(largest, planning.checkpoint_bytes(trainable))
    total = None if needed is None else needed + largest
    return {"needed_bytes": total, "of_it_temporary_bytes": largest, "free_bytes": planning.free_bytes(store.root)}


def _judging(request: Request, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Calls that are still to make, by task; a finished task asks nothing again."""
    found = []
    for task in request.tasks:
        judge = request.judges.get(task.name)
        if judge is None:
            continue
        asked = [s for s in steps if s.stage == "judge" and s.what == task.name and s.state != DONE]
        models = len(asked) - (_is_baseline(task) and any(step.row == SFT for step in asked))
        calls = planning.judge_calls(task, judge, num_turns(task)[1], models)
        found.append(_asked_of(task.name, judge, models, calls))
    return found


def _is_baseline(task: TaskRecipe) -> bool:
    """Whether the SFT model is what the others are compared with, and is not judged itself."""
    protocol = planning.PROTOCOLS.get(task.scorer)
    return task.baseline is None and protocol is not None and protocol.compares


def _canaries(request: Request, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The checks of judges that are still to make."""
    counts = canaries.NUM_ITEMS * canaries.CALLS_PER_ITEM, canaries.NUM_ITEMS * canaries.GRADE_CALLS_PER_ITEM
    to_do = {step.what for step in steps if step.stage == "canaries" and step.state != DONE}
    return [
        _asked_of(f"canaries of {task.name}", judge, None, planning.canary_calls(task, judge, *counts))
        for task in request.tasks
        for judge in [request.judges.get(task.name)]
        if judge is not None and task.name in to_do
    ]


def _asked_of(what: str, judge: JudgeRecipe, models: int | None, calls: planning.Calls | None) -> dict[str, Any]:
    unknown = dict.fromkeys(("calls", "input_tokens", "output_tokens", "cost_usd"))
    prices = judge.prices.source if judge.prices else None
    about = {"task": what, "judge": judge.name, "kind": judge.kind, "prices": prices, "models": models}
    return about | (asdict(calls) if calls else unknown)
