"""The options that several commands share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ropo_bench.errors import UsageError
from ropo_bench.errors.failures import keep_tracebacks_in
from ropo_bench.store.bounded import MAX_INTEGER, MAX_SEEDS
from ropo_bench.training.team.launch import PROCESSES


def _mirror(assets: Path | None) -> Path | None:
    """Look for benchmark files in the folder of --assets first, where one was given."""
    if assets is not None:
        from ropo_bench.sources.assets import use_mirror

        use_mirror(assets)
    return assets


def _tracebacks(runs: Path) -> Path:
    """Keep tracebacks beside what the runs share."""
    keep_tracebacks_in(runs / "cache" / "tracebacks")
    return runs


Runs = Annotated[
    Path, typer.Option("--runs", callback=_tracebacks, help="Folder of all runs and of what they share.")
]
Suite = Annotated[str, typer.Option("--suite", help="Suite: a name or a YAML file.")]
Include = Annotated[list[Path], typer.Option("--include", help="Folder with recipes of your own.")]
Sets = Annotated[list[str], typer.Option("--set", help="loss.beta=0.05 for all methods, ropo.train.lr=1e-4 for one.")]
Base = Annotated[str | None, typer.Option("--base", help="Base model: a folder or a hub id.")]
Data = Annotated[str | None, typer.Option("--data", help="Preference data: a file or a hub id.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Methods = Annotated[str, typer.Option("--methods", help="Names or files, comma-separated, or: all.")]
Seeds = Annotated[
    int | None, typer.Option("--seeds", min=1, max=MAX_SEEDS, help="Seeds a method (default: the suite's).")
]
Tasks = Annotated[str | None, typer.Option("--tasks", help="Only these, comma-separated (default: the suite's).")]
Judge = Annotated[str | None, typer.Option("--judge", help="Judge of every judged task: a name or a YAML file.")]
Backend = Annotated[str | None, typer.Option("--backend", help="auto, vllm or hf (default: the suite's).")]
Checkpoint = Annotated[
    list[str], typer.Option("--checkpoint", help="NAME=PATH_OR_HUB_ID of a model trained elsewhere.")
]
Assets = Annotated[Path | None, typer.Option("--assets", callback=_mirror, help="Mirror folder of benchmark files.")]
Calls = Annotated[int | None, typer.Option("--budget-calls", min=0, max=MAX_INTEGER, help="Most requests to judges.")]
Usd = Annotated[float | None, typer.Option("--budget-usd", min=0, max=1e9, help="Most dollars for judges.")]
StrictModel = Annotated[
    bool, typer.Option("--strict-model", help="Stop where another model answers than the judge's recipe names.")
]
NoCanaries = Annotated[bool, typer.Option("--no-canaries", help="Do not check the judges for bias.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say first why each stage is made, or made again.")]
Name = Annotated[str | None, typer.Option("--name", help="Name of the run (default: suite and a hash).")]
Rates = Annotated[
    str,
    typer.Option(
        "--rates", help="Learning rates: suite (its overrides), tuned (tune's choice), curve (its neighbours too)."
    ),
]
Tuning = Annotated[
    Path | None, typer.Option("--tuning", help="Record of `tune` (default: the one that the suite names).")
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes", min=1, max=1024, envvar=PROCESSES, help="Processes that train together (default: all GPUs)."
    ),
]
Parallel = Annotated[
    int | None,
    typer.Option("--parallel", min=1, max=1024, help="Rows at a time, in processes that share the devices evenly."),
]
Shard = Annotated[bool, typer.Option("--shard", help="Shard the model over them (FSDP2) instead of copying it.")]
DeviceGib = Annotated[
    float | None, typer.Option("--device-gib", min=0.1, max=1e6, help="Plan for devices of this memory, not these.")
]
Devices = Annotated[int, typer.Option("--devices", min=1, max=1 << 20, help="How many (with --device-gib).")]
Machine = Annotated[
    str | None, typer.Option("--machine", help="Plan for this machine, not the one here: 8xH100-80G, 2x4090-24G.")
]
FirstSeed = Annotated[int, typer.Option("--first-seed", min=0, max=1 << 31, help="First of the training seeds.")]
Baseline = Annotated[
    str, typer.Option("--baseline", help="rolling:N, a published folder, or a file from `table --format json`.")
]
History = Annotated[
    Path | None,
    typer.Option(
        "--history", help="The nights before (default: results/history in a checkout, else the user's data)."
    ),
]
Against = Annotated[
    str | None,
    typer.Option("--against", help="A row that all others are tested against first (default: as the suite says)."),
]
Keep = Annotated[
    str, typer.Option("--keep", help="Weights that stay when a row is scored: scores (none), merged or all.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace another run of this --name.")]


def check_keep(keep: str) -> None:
    """Raise UsageError for what is no value of --keep."""
    from ropo_bench.runs.prune import KEEPS

    if keep not in KEEPS:
        raise UsageError(f"--keep {keep}: give one of {', '.join(KEEPS)}")
