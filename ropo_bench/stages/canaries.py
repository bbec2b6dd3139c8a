"""canaries: what is known of the biases of a task's judge, asked on the baseline's answers."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from ropo_bench.judging import canaries as judging_canaries
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring import data_of, find_scorer, modules
from ropo_bench.scoring.judged import Material
from ropo_bench.sources.prompts import prompts_key
from ropo_bench.stages import completions, scores
from ropo_bench.stages.bench import Bench
from ropo_bench.stages.judges import judging_key
from ropo_bench.store import Stage

VERSION = 1


def stage(bench: Bench, task: TaskRecipe) -> Stage:
    """The canaries of a judged task."""
    assert task.prompts is not None
    inputs: dict[str, Any] = {
        "scorer": task.scorer,
        "options": task.options,
        "data": data_of(task),
        "judge": judging_key(bench.store, bench.judges[task.name]),
        "prompts": prompts_key(task.prompts),
        "baseline": completions.baseline(bench, task),
        # How many items of each kind is part of it, so that a result of fewer never stands for one of more.
        "code": bench.code(VERSION, __name__, judging_canaries.__name__, *modules(task), scores.JUDGING),
    }
    return bench.store.stage_of("canaries", inputs)


def make(bench: Bench, task: TaskRecipe) -> Stage:
    """Check the judge of a task for bias, unless that was done; needs the baseline's answers."""
    canaries = stage(bench, task)
    redo = canaries.done and bool(canaries.manifest.get(scores.FAILED))
    with bench.begin(canaries, "canaries", f"{bench.judges[task.name].name} {task.name}", redo) as todo:
        if todo:
            _check(bench, canaries, task)
    return canaries


def _check(bench: Bench, canaries: Stage, task: TaskRecipe) -> None:
    assert task.prompts is not None
    began = time.perf_counter()
    prompts = bench.prompts(task.prompts)
    material = Material(task, prompts, [], scores.read_baseline(bench, task, prompts))
    results, tally = bench.room.canaries(find_scorer(task.scorer), material, bench.judges[task.name])
    canaries.reopen()
    canaries.finish(
        {
            "canaries": [asdict(result) for result in results],
            scores.FAILED: tally.failed if tally else 0,
            "tally": asdict(tally) if tally else None,
            "seconds": time.perf_counter() - began,
        }
    )
