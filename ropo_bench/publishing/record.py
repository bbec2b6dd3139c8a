"""A run's record as it is published: whether it may be, what names replace its paths, what made it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ropo_bench.errors import UnfinishedRun, UsageError
from ropo_bench.publishing.names import is_local, public_name, strings
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import DONE, RunRecord
from ropo_bench.store import JsonLines, Store
from ropo_bench.store.csv_cells import csv_cell

LOGGED = (
    "loss",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
    "grad_norm",
)
CERTIFIED = (
    "dtype",
    "num_probe_tokens",
    "max_abs_logit_difference",
    "mean_kl",
    "top1_agreement",
    "change_size",
    "change_error",
    "merge_error",
    "folder_error",
    "kept_change",
    "kept_update",
    "surviving_share",
    "weight_error",
    "orthogonality_error",
    "limits",
    "failures",
)
COSTS = ("trainable_params", "total_params", "num_pairs", "num_steps", "num_tokens", "seconds", "peak_memory_bytes")


def check(run: Run, commits: Sequence[str]) -> list[str]:
    """The commits that made a run, sorted, where it may be published.

    commits: those that the user names, each by its first digits; needed where a run was made by several. Raises
    UnfinishedRun for rows that are not done, UsageError for a tree that was dirty or no checkout, or commits that are
    not named.
    """
    rows = run.record.rows
    unfinished = [f"{row.name} seed {row.seed} ({row.state})" for row in rows if row.state != DONE]
    if unfinished or not run.record.complete:
        more = f" and {len(unfinished) - 3} more" if unfinished[3:] else ""
        raise UnfinishedRun(
            f"run {run.name}: not finished: {', '.join(unfinished[:3])}{more}; finish it with the command that began"
            " it"
        )
    made_by = set()
    for what, made_with in _makers(run.record):
        commit, dirty = made_with["code"]["commit"], made_with["code"]["dirty"]
        if commit is None or dirty is None:
            raise UsageError(f"run {run.name}: {what} was made outside a git checkout, so its code has no commit; "
                             "repeat the run from a checkout")  # fmt: skip
        if dirty:
            raise UsageError(f"run {run.name}: {what} was made from a dirty tree at {commit[:12]}; commit, then "
                             "repeat the run with --runs NEW_FOLDER")  # fmt: skip
        made_by.add(commit)
    unknown = [given for given in commits if not any(commit.startswith(given) for commit in made_by)]
    if unknown:
        raise UsageError(
            f"run {run.name}: --commit {unknown[0]}: nothing in it was made by that; {_list_commits(made_by)}"
        )
    if len(made_by) > 1 and not all(any(commit.startswith(given) for given in commits) for commit in made_by):
        raise UsageError(
            f"run {run.name}: made by {len(made_by)} commits; where their differences cannot matter, name them all: "
            + " ".join(f"--commit {commit[:12]}" for commit in sorted(made_by))
        )
    return sorted(made_by)


def _list_commits(commits: set[str]) -> str:
    return f"known: {', '.join(commit[:12] for commit in sorted(commits))}"


def _makers(record: RunRecord) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Everything whose code is known: the run's last command, and every training."""
    yield "its last part", record.provenance
    for row in record.rows:
        if row.training is not None:
            yield f"{row.name} seed {row.seed}", row.training["made_with"]


def local_names(request: Mapping[str, Any]) -> dict[str, str]:
    """The paths and addresses of this machine in a run's request -> the names that stand for them."""
    names = {text: public_name(text) for _, text in strings(request)}
    return {text: name for text, name in names.items() if name is not None}


def provenance(run: Run, commits: Sequence[str]) -> dict[str, Any]:
    """What made a run: commits, versions, hardware, and the hashes of everything that was read."""
    record = run.record
    groups: list[dict[str, Any]] = []
    for row in record.rows:
        if row.training is None:
            continue
        made_with = {key: value for key, value in row.training["made_with"].items() if key != "time_utc"}
        same = next((group for group in groups if group["with"] == made_with), None)
        if same is None:
            groups.append(same := {"rows": [], "with": made_with})
        same["rows"].append(f"{row.name} {row.seed}")
    files = [
        {"where": where, "name": Path(text).name, "sha256": _hash(run.store, Path(text))}
        for where, text in strings(record.request.model_dump())
        if is_local(text)
    ]
    return {
        "run": run.name,
        "commits": list(commits),
        "last": record.provenance,
        "trained": groups,
        "base": record.base,
        "data": record.data and record.data.model_dump(exclude_unset=True),
        "files": files,
        "canaries": record.canaries,
        "stages": [
            {"name": row.name, "seed": row.seed, "completions": row.completions, "scores": row.scores}
            for row in record.rows
        ],
    }


def _hash(store: Store, path: Path) -> str | None:
    """sha256 of a file or folder that a recipe names; None where it is gone since."""
    if path.is_dir():
        return store.folder_hash(path)
    return store.file_hash(path) if path.is_file() else None


def certificates(record: RunRecord) -> list[dict[str, Any]]:
    """Of every merged model: what it was held to and what was found, without its list of modules."""
    return [
        {"row": row.name, "seed": row.seed, "num_modules": len(row.certificate["modules"])}
        | {key: row.certificate[key] for key in CERTIFIED if key in row.certificate}
        for row in record.rows
        if row.certificate is not None
    ]


def training_table(run: Run) -> str:
    """CSV, a line a trained model: what it cost, and of its log the first step and the mean of the last tenth.

    The log's columns are empty where the store has that training no more.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    logged = [f"{key}.{part}" for key in LOGGED for part in ("first", "last_tenth")]
    writer.writerow(["row", "seed", *COSTS, *logged, "commit", "time_utc"])
    for row in run.record.rows:
        training, policy = row.training, run.policy_stage(row)
        if training is None:
            continue
        steps = [] if policy is None else list(JsonLines(policy.file("train.jsonl")))
        ends: list[str] = []
        for key in LOGGED:
            values = [step[key] for step in steps if key in step]
            tail = values[-max(1, len(values) // 10) :]
            ends += [json.dumps(values[0]), json.dumps(fmean(tail))] if values else ["", ""]
        maker = training["made_with"]
        costs = [training[key] for key in COSTS]
        writer.writerow([csv_cell(row.name), row.seed, *costs, *ends, maker["code"]["commit"], maker["time_utc"]])
    return out.getvalue()
