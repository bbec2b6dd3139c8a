"""What stands under a table: the data, who judged and what that took, and what every merged model was held to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ropo_bench.leaderboard.cells import Row, footers
from ropo_bench.recipes.suite import MergeRecipe
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import DataRecord, RequestRecord, RowRecord, RunRecord
from ropo_bench.statistics.comparisons import LEAST_COVERAGE

DEMO = (
    "pocket-arena has the demo's 240 prompts; for small differences take --suite pocket-reference: 1,760, five seeds"
)
SHOWN_VERSIONS = ("torch", "transformers", "peft")


def notes(run: Run) -> list[str]:
    """The lines under the table of a run."""
    record, tasks = run.record, run.record.request.tasks
    versions = record.provenance["packages"]
    lines = footers(
        seeds=sorted({row.seed for row in record.rows}),
        data=_data(record.data),
        versions={key: versions[key] for key in SHOWN_VERSIONS if key in versions},
        judges=_judges(record.request),
        canaries=_canary_lines(record),
        spent=_spent(run),
        prompts=num_prompts(run),
        pocket=any((task.prompts or "").startswith("pocket:") for task in tasks),
        certificate=_certificate(record.request.suite.merge, record.rows),
    )
    lines += [*_thought_lines(run), *_other_models(run)]
    return [*lines, DEMO] if any(task.prompts == "pocket:arena" for task in tasks) else lines


def _manifests(run: Run, task: str) -> list[Mapping[str, Any]]:
    """What is recorded of a task's scores, of the rows that have any."""
    stages = [run.score_stage(row, task) for row in run.record.rows]
    return [stage.manifest for stage in stages if stage is not None]


def _thought_lines(run: Run) -> list[str]:
    """Whether thoughts are part of the answers, and of how many they were left out."""
    lines = []
    for task in run.record.request.tasks:
        if task.decoding is not None and task.decoding.thoughts == "keep":
            lines.append(f"{task.name}: thoughts are part of the answers (decoding.thoughts: keep)")
        manifests = _manifests(run, task.name)
        keys = ("num_thoughts", "num_cut_thoughts")
        left_out, cut = (sum(manifest.get(key, 0) for manifest in manifests) for key in keys)
        if left_out:
            ended = f"; {cut:,} ended within them and count as empty" if cut else ""
            lines.append(f"{task.name}: thoughts (up to </think>) were left out of {left_out:,} answers{ended}")
    return lines


def _other_models(run: Run) -> list[str]:
    """Answers that another model gave than the judge's recipe names, by task."""
    lines = []
    for task, judge in run.record.request.judges.items():
        manifests = [*_manifests(run, task), run.record.canaries.get(task, {})]
        total: Counter[str] = Counter()
        for tally in [manifest["tally"] for manifest in manifests if manifest.get("tally")]:
            total.update(tally.get("other_models", {}))
        lines += [
            f"{task}: {count:,} answers are by {name!r}, asked was {judge.model!r} (--strict-model refuses them)"
            for name, count in total.items()
        ]
    return lines


def canary_results(record: RunRecord) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """By task, what is known of the biases of its judge."""
    return {task: checked["canaries"] for task, checked in record.canaries.items()}


def num_prompts(run: Run) -> dict[str, int]:
    """Prompts of every task that has any, of those that are scored."""
    manifests = {
        task.name: _manifests(run, task.name) for task in run.record.request.tasks if task.prompts is not None
    }
    return {task: own[0]["num_prompts"] for task, own in manifests.items() if own}


def find_uncovered(tasks: Sequence[TaskRecipe], rows: Sequence[Row]) -> list[str]:
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


def _data(data: DataRecord | None) -> str | None:
    """The preference data of a run: its hash, and what of it was read."""
    if data is None:
        return None
    left_out = f", {len(data.left_out):,} left out" if data.left_out else ""
    return f"{data.num_pairs:,} pairs{left_out}, sha256 {data.sha256[:16]}"


def _judges(request: RequestRecord) -> list[str]:
    """Who graded or judged which tasks, each once."""
    tasks: dict[str, list[str]] = {}
    for task in request.tasks:
        if task.name in request.judges:
            judge = request.judges[task.name]
            tasks.setdefault(f"{judge.name} ({judge.kind} {judge.model})", []).append(task.name)
        elif "grader" in task.options:
            tasks.setdefault(task.options["grader"], []).append(task.name)
    return [f"{judge} on {', '.join(names)}" for judge, names in tasks.items()]


def dagger(column: Column, results: Sequence[Mapping[str, Any]]) -> str:
    """A dagger where the judge of this column failed a canary.

    Columns without a better direction (length) are never marked: no judge decides them.
    """
    return " †" if column.better != "none" and any(result["passed"] is False for result in results) else ""


def _canary_lines(record: RunRecord) -> list[str]:
    """What is known of the biases of each task's judge."""
    lines = []
    results = canary_results(record)
    for task in record.request.judges:
        if not record.request.canaries:
            lines.append(f"{task}: unchecked (--no-canaries)")
        elif task in results:
            lines.append(f"{task}: " + "; ".join(map(_canary_text, results[task])))
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


def _spent(run: Run) -> str | None:
    """What the judges of this table were asked, canaries among it; None where nobody was."""
    judged = run.record.request.judges
    measured = [(row, task) for row in run.record.rows for task in row.scores if task in judged]
    manifests = [run.store.stage("scores", row.scores[task]).manifest for row, task in measured]
    tallies = [manifest["tally"] for manifest in manifests if "tally" in manifest]
    tallies += [checked["tally"] for checked in run.record.canaries.values() if checked["tally"]]
    if not tallies:
        return None
    total = {key: sum(tally[key] for tally in tallies) for key in ("asked", "failed")}
    costs = [tally["cost_usd"] for tally in tallies]
    cost = "cost unknown" if None in costs else f"{sum(costs):.2f} US dollars"
    return f"{total['asked']:,} questions, {total['failed']:,} without an answer, {cost}"


def _certificate(merge: MergeRecipe, rows: Sequence[RowRecord]) -> str | None:
    """What every merged model was held to, how many passed, and what the cast left of the smallest change."""
    certificates = [(row.certificate, row.name) for row in rows if row.certificate is not None]
    if not certificates:
        return None
    if any("kept_change" not in certificate for certificate, _ in certificates):
        return _certificate_by_weights(certificates[0][0]["limits"], len(certificates))
    worst, name = min(certificates, key=lambda held: held[0]["kept_change"])
    limits, change = worst["limits"], worst["kept_change"]
    share = min(certificate["surviving_share"] for certificate, _ in certificates)
    return (
        f"{len(certificates)} merged models passed ({merge.dtype}): mean KL <= {limits['mean_kl']:g} nats; of what "
        f"training changed in the logits, the merge keeps all but {100 * limits['merge_error']:g} % and the cast at "
        f"least {100 * limits['kept_change']:g} % (here {100 * change:.0f} %, {name}; of the weights' update "
        f"{100 * share:.0f} %, a note); weights, config, tokenizer and generation config as they should be; the "
        f"engine's log-probabilities within {limits['engine_error']:g} nats; "
        f"|R^T R - I| <= {limits['orthogonality']:g}"
    )


def _certificate_by_weights(limits: Mapping[str, Any], count: int) -> str:
    """The same of a run from before the certificate judged by function."""
    return (
        f"{count} merged models passed ({limits['dtype']}): top-1 agreement >= "
        f"{100 * limits['top1_agreement']:g} %, mean KL <= {limits['mean_kl']:g} nats, "
        f">= {100 * limits['surviving_share']:g} % of the update survives the cast, "
        f"|R^T R - I| <= {limits['orthogonality']:g}"
    )
