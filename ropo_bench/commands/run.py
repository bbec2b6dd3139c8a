"""`ropo-bench run` and `ropo-bench eval`: from names to a resolved request, then the way, then the table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from ropo_bench.commands.table import print_leaderboard
from ropo_bench.errors import UsageError
from ropo_bench.pipeline import SFT, Request
from ropo_bench.pipeline import run as run_pipeline
from ropo_bench.recipes import load_methods, load_suite, load_task
from ropo_bench.reporting.progress import Progress
from ropo_bench.runs import Store


def run_command(
    methods: str,
    suite: str,
    seeds: int | None,
    base: str | None,
    data: str | None,
    checkpoints: Sequence[str],
    sets: Sequence[str],
    include: Sequence[Path],
    runs: Path,
    name: str | None,
    json: bool,
) -> None:
    """Resolve, run, print; exits 4 when a row failed."""
    request = resolve(methods, suite, seeds, base, data, checkpoints, sets, include)
    store = Store(runs)
    name = name or request.run_name()
    store.run_folder(name)
    with Progress() as progress:
        for method in untuned(request):
            progress.note(
                f"{method}: suite {request.suite.name} has no override for it; it trains at its recipe's lr "
                f"(find one with: ropo-bench tune --suite {request.suite.name} --methods {method})"
            )
        record = run_pipeline(request, store, name, progress)
    print_leaderboard(store, name, "json" if json else "text")
    failed = [row for row in record["rows"] if row["state"] != "done"]
    if failed:
        print(f"error: {len(failed)} of {len(record['rows'])} rows failed (see above)", file=sys.stderr)
        raise typer.Exit(4)


def resolve(
    methods: str,
    suite: str,
    seeds: int | None,
    base: str | None,
    data: str | None,
    checkpoints: Sequence[str],
    sets: Sequence[str],
    include: Sequence[Path],
) -> Request:
    """A request with every recipe read; raises UsageError for the first thing that is wrong."""
    recipe = load_suite(suite, include=include)
    changes = {key: value for key, value in {"base": base, "data": data}.items() if value is not None}
    recipe = recipe.model_copy(update=changes)
    rows = load_methods(methods, suite=recipe, sets=sets, include=include) if methods else []
    return Request(
        suite=recipe,
        tasks=[load_task(task, include=include) for task in recipe.tasks],
        methods=rows,
        seeds=seeds or recipe.seeds,
        checkpoints=_checkpoints(checkpoints, {SFT, *(method.name for method in rows)}),
    )


def untuned(request: Request) -> list[str]:
    """Methods that a suite with overrides has none for: they train with figures for another size of model."""
    known = request.suite.overrides
    return [method.name for method in request.methods if known and method.name not in known]


def _checkpoints(given: Sequence[str], taken: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UsageError(f"--checkpoint {text}: give NAME=FOLDER or NAME=org/model")
        if name in found or name in taken:
            raise UsageError(f"--checkpoint {text}: the name {name} is taken; choose another")
        found[name] = path
    return found
