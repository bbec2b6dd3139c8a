"""What stands under a table: the data, who judged and what that took, and what every merged model was held to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ropo_bench.leaderboard.cells import Row, footers
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.statistics import LEAST_COVERAGE
from ropo_bench.store import Store

DEMO = (
    "pocket-arena has the demo's 240 prompts; for small differences take --suite pocket-reference: 1,760, five seeds"
)
SHOWN_VERSIONS = ("torch", "transformers", "peft")


def notes(store: Store, record: Mapping[str, Any], tasks: Sequence[TaskRecipe]) -> list[str]:
    """The lines under the table of a run's record."""
    request, canaries = record["request"], found_canaries(record)
    versions = record["provenance"]["packages"]
    lines = footers(
        seeds=sorted({row["seed"] for row in record["rows"]}),
        data=_data(record["data"]),
        versions={key: versions[key] for key in SHOWN_VERSIONS if key in versions},
        judges=_judges(tasks, request["judges"]),
        canaries=_canary_lines(request, canaries),
        spent=_spent(store, record["rows"], request["judges"], record["canaries"]),
        prompts=num_prompts(store, record["rows"], tasks),
        pocket=any((task.prompts or "").startswith("pocket:") for task in tasks),
        certificate=_certificate(request["suite"]["merge"], record["rows"]),
    )
    lines += [*_thought_lines(store, record["rows"], tasks), *_other_models(store, record)]
    return [*lines, DEMO] if any(task.prompts == "pocket:arena" for task in tasks) else lines


def _manifests(store: Store, rows: Sequence[Mapping[str, Any]], task: str) -> list[Mapping[str, Any]]:
    """What is recorded of a task's scores, of the rows that have any."""
    return [store.stage("scores", row["scores"][task]).manifest for row in rows if task in row["scores"]]


def _thought_lines(store: Store, rows: Sequence[Mapping[str, Any]], tasks: Sequence[TaskRecipe]) -> list[str]:
    """Whether thoughts are part of the answers, and of how many they were left out."""
    lines = []
    for task in tasks:
        if task.decoding is not None and task.decoding.thoughts == "keep":
            lines.append(f"{task.name}: thoughts are part of the answers (decoding.thoughts: keep)")
        found = _manifests(store, rows, task.name)
        left_out, cut = (sum(one.get(key, 0) for one in found) for key in ("num_thoughts", "num_cut_thoughts"))
        if left_out:
            ended = f"; {cut:,} ended within them and count as empty" if cut else ""
            lines.append(f"{task.name}: thoughts (up to </think>) were left out of {left_out:,} answers{ended}")
    return lines


def _other_models(store: Store, record: Mapping[str, Any]) -> list[str]:
    """Answers that another model gave than the judge's recipe names, by task."""
    lines = []
    for task, judge in record["request"]["judges"].items():
        checked = record["canaries"].get(task, {}).get("tally")
        tallies = [found["tally"] for found in _manifests(store, record["rows"], task) if "tally" in found]
        total: Counter[str] = Counter()
        for tally in [*tallies, *([checked] if checked else [])]:
            total.update(tally.get("other_models", {}))
        lines += [
            f"{task}: {count:,} answers are by {name!r}, asked was {judge['model']!r} (--strict-model refuses them)"
            for name, count in total.items()
        ]
    return lines


def found_canaries(record: Mapping[str, Any]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """By task, what is known of the biases of its judge."""
    return {task: checked["canaries"] for task, checked in record["canaries"].items()}


def num_prompts(store: Store, rows: Sequence[Mapping[str, Any]], tasks: Sequence[TaskRecipe]) -> dict[str, int]:
    """Prompts of every task that has any, of those that are scored."""
    found: dict[str, int] = {}
    for task in tasks:
        keys = [row["scores"][task.name] for row in rows if task.name in row["scores"]]
        if keys and task.prompts is not None:
            found[task.name] = store.stage("scores", keys[0]).manifest["num_prompts"]
    return found


def uncovered(tasks: Sequence[TaskRecipe], rows: Sequence[Row]) -> list[str]:
    """Which rows are in no comparison of a tested column because too few of its items are scored."""
    lines = []
    for task in tasks:
        for column in (column for column in task.columns if task.is_tested(column)):
            cells = {row.name: row.cells.get((task.name, column.metric)) for row in rows}
            shares = {
                name: cell.n / (cell.n + cell.n_unscored)
                for name, cell in cells.items()
                if cell is not None and cell.n
            }
            low = {name: share for name, share in shares.items() if share < LEAST_COVERAGE}
            if low:
                names = ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in low.items())
                lines.append(
                    f"not compared on {task.name} {column.header}: {names}: fewer than {100 * LEAST_COVERAGE:g} % of"
                    " its items are scored, and what is missing is seldom missing at random"
                )
    return lines


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


def dagger(column: Column, results: Sequence[Mapping[str, Any]]) -> str:
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
    interval = f"{result['bias']:+.1f} [{low:+.1f}, {high:+.1f}]"
    text = f"{result['kind']} {verdict} {interval}, limit {result['tolerance']:g}"
    seen = result.get("detectable")  # of runs that are older than this figure there is none
    return text if seen is None else f"{text} ({result['n']} items find a bias of {seen:.3g} four times in five)"


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
    """What every merged model was held to, how many passed, and what the cast left of the smallest change."""
    held = [row for row in rows if row["certificate"] is not None]
    if not held:
        return None
    if "surviving_share" in limits:  # a record of before the certificate judged by function
        return (
            f"{len(held)} merged models passed ({limits['dtype']}): top-1 agreement >= "
            f"{100 * limits['top1_agreement']:g} %, mean KL <= {limits['mean_kl']:g} nats, "
            f">= {100 * limits['surviving_share']:g} % of the update survives the cast, "
            f"|R^T R - I| <= {limits['orthogonality']:g}"
        )
    worst = min(held, key=lambda row: row["certificate"]["kept_change"])
    applied, kept = worst["certificate"]["limits"], worst["certificate"]["kept_change"]
    share = min(row["certificate"]["surviving_share"] for row in held)
    return (
        f"{len(held)} merged models passed ({limits['dtype']}): mean KL <= {applied['mean_kl']:g} nats; of what "
        f"training changed in the logits, the merge keeps all but {100 * applied['merge_error']:g} % and the cast at "
        f"least {100 * applied['kept_change']:g} % (here {100 * kept:.0f} %, {worst['name']}; of the weights' update "
        f"{100 * share:.0f} %, a note); weights, config, tokenizer and generation config as they should be; the "
        f"engine's log-probabilities within {applied['engine_error']:g} nats; "
        f"|R^T R - I| <= {applied['orthogonality']:g}"
    )
