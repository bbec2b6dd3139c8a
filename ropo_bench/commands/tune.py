"""`ropo-bench tune`: every method's learning rate from one grid, with the same budget, by one stated metric."""

from __future__ import annotations

import json as jsonlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ropo_bench.errors import MethodFailed, UsageError
from ropo_bench.leaderboard import estimators
from ropo_bench.methods import MethodRecipe
from ropo_bench.provenance import provenance
from ropo_bench.recipes import load_methods, load_suite, load_task, settings
from ropo_bench.records import read_scores
from ropo_bench.reporting.progress import Progress
from ropo_bench.runs import Store, atomic_write_json, atomic_write_text, content_key
from ropo_bench.stages import Evaluation, Stages
from ropo_bench.statistics import measure
from ropo_bench.tasks import TaskRecipe

GRID = tuple(float(f"{10 ** (exponent / 2):.2g}") for exponent in range(-10, -1))
"""1e-5, 3.2e-5, 1e-4 ... 1e-1: half decades."""

Trial = dict[str, Any]


def tune_command(
    methods: str, suite: str, trials: int, write: Path | None, include: Sequence[Path], runs: Path, json: bool
) -> None:
    """Run the trials, record them all, print the choice, and write it into a suite file if asked."""
    recipe = load_suite(suite, include=include)
    if recipe.validation is None:
        raise UsageError(f"suite {recipe.name}: it names no validation task, which tune selects by; add validation:")
    task = load_task(recipe.validation, include=include)
    rows = load_methods(methods, suite=recipe, include=include)
    if write is not None and not write.is_file():
        raise UsageError(f"--write {write}: no such file; give the suite's YAML file, which gets the overrides")
    store = Store(runs)
    with Progress() as progress, Evaluation(Stages(store, recipe, progress)) as evaluation:
        found = {method.name: _tune(evaluation, method, task, trials) for method in rows}
    record: dict[str, Any] = {
        "suite": recipe.name,
        "task": task.name,
        "metric": task.columns[0].metric,
        "grid": list(GRID),
        "trials_per_method": trials,
        "methods": found,
        "provenance": dict(provenance()),
    }
    inputs: dict[str, Any] = {"suite": recipe.model_dump(), "rows": [settings(row) for row in rows], "trials": trials}
    name = f"tune-{recipe.name}-{content_key('tune', inputs)[:8]}"
    atomic_write_json(store.run_folder(name) / "tune.json", record)
    if json:
        print(jsonlib.dumps(record, indent=1))
    else:
        print("\n".join(_lines(found)))
    if write is not None:
        rates = {name: r["best"]["lr"] for name, r in found.items() if r["best"]["value"] is not None}
        _write_overrides(write, rates)


def window(rate: float, count: int) -> list[int]:
    """Positions of `count` neighbouring grid points, centred on the one nearest to `rate`."""
    nearest = min(range(len(GRID)), key=lambda i: abs(math.log(GRID[i] / rate)))
    first = min(max(0, nearest - count // 2), len(GRID) - count)
    return list(range(first, first + count))


def _tune(evaluation: Evaluation, method: MethodRecipe, task: TaskRecipe, count: int) -> dict[str, Any]:
    """All trials of one method: its window, and one more point where the best lies at the window's edge."""
    tried = {i: _trial(evaluation, method, task, GRID[i]) for i in window(method.train.lr, count)}
    best = _best(tried)
    beyond = {min(tried): min(tried) - 1, max(tried): max(tried) + 1}.get(best)
    if beyond is not None and 0 <= beyond < len(GRID):
        tried[beyond] = _trial(evaluation, method, task, GRID[beyond])
        best = _best(tried)
    return {"best": tried[best], "trials": [tried[i] for i in sorted(tried)]}


def _best(tried: Mapping[int, Trial]) -> int:
    """The highest value; of equal ones the lowest rate."""
    return max(sorted(tried), key=lambda i: -math.inf if tried[i]["value"] is None else tried[i]["value"])


def _trial(evaluation: Evaluation, method: MethodRecipe, task: TaskRecipe, rate: float) -> Trial:
    changed = method.model_copy(update={"train": method.train.model_copy(update={"lr": rate})})
    label = f"{method.name} lr {rate:g}"
    stages = evaluation.stages
    evaluation.close_engine()
    try:
        stages.make_policy(changed, 0)
        scores = evaluation.make_scores(stages.make_merged(changed, 0), task, label)
    except MethodFailed as error:
        stages.progress.note(f"{label}: {error}")
        return {"lr": rate, "value": None, "standard_error": None, "failed": str(error)}
    found = measure(task.name, task.columns[:1], [read_scores(scores)], estimators())[0]
    shown = f"{found.value:.1f}" if found.value is not None else "unscored"
    stages.progress.note(f"{label}: {found.metric} {shown}")
    return {"lr": rate, "value": found.value, "standard_error": found.standard_error}


def _lines(found: Mapping[str, Any]) -> list[str]:
    width = max(map(len, found))
    return [
        f"{name:<{width}}  lr {result['best']['lr']:<8g}"
        + "  ".join(
            f"{t['lr']:g}: {'failed' if t['value'] is None else format(t['value'], '.1f')}" for t in result["trials"]
        )
        for name, result in found.items()
    ]


def _write_overrides(path: Path, rates: Mapping[str, float]) -> None:
    """Put the learning rates into a suite file's overrides, keeping everything else as it is."""
    import io

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 118
    document = yaml.load(path.read_text())
    for name, rate in rates.items():
        document.setdefault("overrides", {}).setdefault(name, {})["train.lr"] = rate
    out = io.StringIO()
    yaml.dump(document, out)
    atomic_write_text(path, out.getvalue())
