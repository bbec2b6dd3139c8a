"""From a run's record to its leaderboard, from the store alone: finished cells are measured, the rest is pending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ropo_bench.recipes import resolve_object
from ropo_bench.records import read_scores
from ropo_bench.reporting.tables import Column, Leaderboard, Row, footers
from ropo_bench.runs import Stage, Store, atomic_write_json, content_key, read_json, source_hash
from ropo_bench.scoring import ESTIMATORS
from ropo_bench.statistics import Estimator, measure, minimum_detectable_effect
from ropo_bench.tasks import Column as TaskColumn
from ropo_bench.tasks import TaskRecipe
from ropo_bench.types import Measurement

SFT = "SFT"
MEASURE_CODE = ("ropo_bench.statistics", "ropo_bench.scoring")
SHOWN_VERSIONS = ("torch", "transformers", "peft")


def leaderboard(store: Store, name: str) -> Leaderboard:
    """The table of a run, finished or not; raises UsageError when there is no such run."""
    record = store.read_run(name)
    request = record["request"]
    tasks = [TaskRecipe.model_validate(task) for task in request["tasks"]]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in record["rows"]:
        groups.setdefault(row["name"], []).append(row)
    rows = [_row(store, label, seeds, tasks) for label, seeds in groups.items()]
    canaries: Mapping[str, Sequence[Mapping[str, Any]]] = {t: c["canaries"] for t, c in record["canaries"].items()}
    columns = [
        Column(t.name, c.metric, c.header + _dagger(c, canaries.get(t.name, ())), c.decimals, c.better)
        for t in tasks
        for c in t.columns
        if _measured_somewhere(rows, t.name, c.metric)
    ]
    versions = record["provenance"]["packages"]
    return Leaderboard(
        title=f"{name} · base {request['suite']['base']} · data {request['suite']['data']}",
        rows=rows,
        columns=columns,
        footers=footers(
            seeds=range(request["seeds"]),
            data=_data(record["data"]),
            versions={key: versions[key] for key in SHOWN_VERSIONS if key in versions},
            judges=_judges(tasks, request["judges"]),
            canaries=_canary_lines(request, canaries),
            spent=_spent(store, record["rows"], request["judges"], record["canaries"]),
            prompts=_num_prompts(store, record["rows"], tasks),
            pocket=any((task.prompts or "").startswith("pocket:") for task in tasks),
            certificate=_certificate(request["suite"]["merge"], record["rows"]),
            minimum_detectable_effects=_detectable(rows, tasks),
        ),
    )


def _row(store: Store, label: str, seeds: Sequence[Mapping[str, Any]], tasks: Sequence[TaskRecipe]) -> Row:
    """One method over its seeds; a cell needs all of them."""
    cells: dict[tuple[str, str], Measurement] = {}
    for task in tasks:
        stages = [store.stage("scores", row["scores"][task.name]) for row in seeds if task.name in row["scores"]]
        if len(stages) == len(seeds):
            cells |= {(task.name, m.metric): m for m in _measured(store, task, stages)}
    trained = [row["training"] for row in seeds if row["training"] is not None]
    states = [row["state"] for row in seeds if row["state"] != "done"]
    peaks = [t["peak_memory_bytes"] for t in trained if t["peak_memory_bytes"] is not None]
    return Row(
        name=label,
        seeds=tuple(row["seed"] for row in seeds),
        trainable_params=trained[0]["trainable_params"] if trained else None,
        percent=100 * trained[0]["trainable_params"] / trained[0]["total_params"] if trained else None,
        train_seconds=sum(t["seconds"] for t in trained) / len(trained) if trained else None,
        peak_memory_bytes=max(peaks, default=None),
        cells=cells,
        state=states[0] if states else "done",
        reference=label == SFT,
    )


def _measured(store: Store, task: TaskRecipe, stages: Sequence[Stage]) -> list[Measurement]:
    """The measurements of one row on one task, computed once: bootstraps take a second each."""
    inputs: dict[str, Any] = {
        # By content: measurements that failed are tried again under the same key.
        "scores": [store.file_hash(stage.path / "scores.jsonl") for stage in stages],
        "columns": [column.model_dump(include={"metric", "estimator"}) for column in task.columns],
        "code": source_hash(*MEASURE_CODE),
    }
    cached = store.stage("measured", content_key("measured", inputs))
    path = cached.path / "measurements.json"
    with cached.begin() as todo:
        if todo:
            found = measure(task.name, task.columns, [read_scores(stage) for stage in stages], estimators())
            atomic_write_json(path, [asdict(measurement) for measurement in found])
            cached.finish({})
    return [Measurement(**fields) for fields in read_json(path)]


def estimators() -> dict[str, Estimator]:
    """The estimators that scorers bring, beside those of statistics."""
    return {name: resolve_object(target, {}, "estimator") for name, target in ESTIMATORS.items()}


def _num_prompts(store: Store, rows: Sequence[Mapping[str, Any]], tasks: Sequence[TaskRecipe]) -> dict[str, int]:
    """Prompts of every task that has any, of those that are scored."""
    found: dict[str, int] = {}
    for task in tasks:
        keys = [row["scores"][task.name] for row in rows if task.name in row["scores"]]
        if keys and task.prompts is not None:
            found[task.name] = store.stage("scores", keys[0]).manifest["num_prompts"]
    return found


def _data(data: Mapping[str, Any] | None) -> str | None:
    """The preference data of a run: its hash, and what of it was read."""
    if data is None:
        return None
    left_out = f", {len(data['left_out']):,} left out" if data["left_out"] else ""
    return f"{data['num_pairs']:,} pairs{left_out}, sha256 {data['sha256'][:16]}"


def _judges(tasks: Sequence[TaskRecipe], judges: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Who graded or judged which tasks, each once."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        if task.name in judges:
            judge = judges[task.name]
            found.setdefault(f"{judge['name']} ({judge['kind']} {judge['model']})", []).append(task.name)
        elif "grader" in task.options:
            found.setdefault(task.options["grader"], []).append(task.name)
    return [f"{judge} on {', '.join(names)}" for judge, names in found.items()]


def _measured_somewhere(rows: Sequence[Row], task: str, metric: str) -> bool:
    """Whether a column has an item in any row, or may still get one: a judge without log-probs fills other ones."""
    cells = [row.cells.get((task, metric)) for row in rows]
    return any(cell is not None and cell.n + cell.n_unscored for cell in cells) or not any(cells)


def _dagger(column: TaskColumn, results: Sequence[Mapping[str, Any]]) -> str:
    """Marks a column that a judge with a found bias decides; lengths are nobody's verdict."""
    return " †" if column.better != "none" and any(result["passed"] is False for result in results) else ""


def _canary_lines(request: Mapping[str, Any], canaries: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What is known of the biases of each task's judge."""
    lines = []
    for task in request["judges"]:
        if not request["canaries"]:
            lines.append(f"{task}: unchecked (--no-canaries)")
        elif task in canaries:
            lines.append(f"{task}: " + "; ".join(map(_canary_text, canaries[task])))
    return lines


def _canary_text(result: Mapping[str, Any]) -> str:
    if result["passed"] is None:
        return f"{result['kind']} unchecked ({result['n']} of {result['n'] + result['n_unscored']} readable)"
    low, high = result["interval"]
    verdict = "ok" if result["passed"] else "FAILED †"
    return (
        f"{result['kind']} {verdict} {result['bias']:+.1f} [{low:+.1f}, {high:+.1f}], limit {result['tolerance']:g}"
    )


def _spent(
    store: Store,
    rows: Sequence[Mapping[str, Any]],
    judged: Mapping[str, Any],
    checked: Mapping[str, Mapping[str, Any]],
) -> str | None:
    """What the judges of this table were asked, canaries among it; None where nobody was."""
    stages = [store.stage("scores", key) for row in rows for task, key in row["scores"].items() if task in judged]
    tallies = [stage.manifest["tally"] for stage in stages if "tally" in stage.manifest]
    tallies += [found["tally"] for found in checked.values() if found["tally"]]
    if not tallies:
        return None
    total = {key: sum(tally[key] for tally in tallies) for key in ("asked", "failed")}
    costs = [tally["cost_usd"] for tally in tallies]
    cost = "cost unknown" if None in costs else f"{sum(costs):.2f} US dollars"
    return f"{total['asked']:,} questions, {total['failed']:,} without an answer, {cost}"


def _certificate(limits: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """What every merged model was held to, and how many passed."""
    held = [row["certificate"] for row in rows if row["certificate"] is not None]
    if not held:
        return None
    return (
        f"{len(held)} merged models passed ({limits['dtype']}): top-1 agreement >= "
        f"{100 * limits['top1_agreement']:g} %, mean KL <= {limits['mean_kl']:g} nats, "
        f">= {100 * limits['surviving_share']:g} % of the update survives the cast, "
        f"|R^T R - I| <= {limits['orthogonality']:g}"
    )


def _detectable(rows: Sequence[Row], tasks: Sequence[TaskRecipe]) -> dict[str, float]:
    """Smallest effect on a win rate that this table could have seen: of its least certain row."""
    found = {}
    for task in tasks:
        for column in task.columns:
            if column.metric != "win_rate":
                continue
            cells = [row.cells.get((task.name, column.metric)) for row in rows if not row.reference]
            errors = [cell.standard_error for cell in cells if cell is not None and cell.standard_error]
            if errors:
                found[f"{task.name} {column.header}"] = minimum_detectable_effect(max(errors))
    return found
