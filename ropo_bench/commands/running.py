"""The commands that make work or look before it: run, eval, plan, gate, nightly, doctor, tune, new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ropo_bench.commands import options as opt
from ropo_bench.commands.new import new_command
from ropo_bench.store.bounded import MAX_SEEDS
from ropo_bench.training.team.launch import asked_launch

app = typer.Typer()


@app.command()
def run(
    methods: opt.Methods = "ropo,dpo",
    suite: opt.Suite = "pocket",
    seeds: opt.Seeds = None,
    first_seed: opt.FirstSeed = 0,
    base: opt.Base = None,
    data: opt.Data = None,
    tasks: opt.Tasks = None,
    judge: opt.Judge = None,
    backend: opt.Backend = None,
    checkpoint: opt.Checkpoint = [],  # noqa: B006 (typer copies it)
    sets: opt.Sets = [],  # noqa: B006
    rates: opt.Rates = "suite",
    tuning: opt.Tuning = None,
    include: opt.Include = [],  # noqa: B006
    assets: opt.Assets = None,
    budget_calls: opt.Calls = None,
    budget_usd: opt.Usd = None,
    strict_model: opt.StrictModel = False,
    no_canaries: opt.NoCanaries = False,
    processes: opt.Processes = None,
    shard: opt.Shard = False,
    parallel: opt.Parallel = None,
    runs: opt.Runs = Path("runs"),
    name: opt.Name = None,
    replace: opt.Replace = False,
    keep: opt.Keep = "all",
    explain: opt.Explain = False,
    json: opt.Json = False,
) -> None:
    """Train, merge, generate, judge and tabulate.

    A repeated command goes on where the last one stopped.
    """
    from ropo_bench.commands.run import Making, run_command
    from ropo_bench.request import Asked, Limits

    asked = Asked(
        methods=methods,
        suite=suite,
        seeds=seeds,
        base=base,
        data=data,
        tasks=tasks,
        judge=judge,
        backend=backend,
        checkpoints=checkpoint,
        sets=sets,
        include=include,
        canaries=not no_canaries,
        first_seed=first_seed,
        rates=rates,
        tuning=tuning,
        strict_model=strict_model,
    )
    opt.check_keep(keep)
    making = Making(asked_launch(processes, shard), parallel, keep, explain)
    run_command(asked, runs, name, json, Limits(budget_calls, budget_usd), making, replace)


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="Folder or hub id of the model (or of an adapter).")],
    name: Annotated[str, typer.Option("--name", help="Its name in the table.")],
    suite: opt.Suite = "pocket",
    base: opt.Base = None,
    data: opt.Data = None,
    tasks: opt.Tasks = None,
    judge: opt.Judge = None,
    backend: opt.Backend = None,
    include: opt.Include = [],  # noqa: B006
    assets: opt.Assets = None,
    budget_calls: opt.Calls = None,
    budget_usd: opt.Usd = None,
    strict_model: opt.StrictModel = False,
    no_canaries: opt.NoCanaries = False,
    runs: opt.Runs = Path("runs"),
    json: opt.Json = False,
) -> None:
    """Measure a model trained elsewhere, beside the suite's SFT model."""
    from ropo_bench.commands.run import run_command
    from ropo_bench.recipes.files import check_row_name
    from ropo_bench.request import Asked, Limits

    check_row_name(name, "--name")
    asked = Asked(
        methods="",
        suite=suite,
        base=base,
        data=data,
        tasks=tasks,
        judge=judge,
        backend=backend,
        checkpoints=[f"{name}={model}"],
        include=include,
        canaries=not no_canaries,
        strict_model=strict_model,
    )
    run_command(asked, runs, None, json, Limits(budget_calls, budget_usd))


@app.command()
def plan(
    methods: opt.Methods = "ropo,dpo",
    suite: opt.Suite = "pocket",
    seeds: opt.Seeds = None,
    base: opt.Base = None,
    data: opt.Data = None,
    tasks: opt.Tasks = None,
    judge: opt.Judge = None,
    backend: opt.Backend = None,
    checkpoint: opt.Checkpoint = [],  # noqa: B006
    sets: opt.Sets = [],  # noqa: B006
    include: opt.Include = [],  # noqa: B006
    assets: opt.Assets = None,
    no_canaries: opt.NoCanaries = False,
    device_gib: opt.DeviceGib = None,
    devices: opt.Devices = 1,
    machine: opt.Machine = None,
    runs: opt.Runs = Path("runs"),
    effect: Annotated[list[str], typer.Option("--effect", help="Wanted: points, or TASK.METRIC=points.")] = [],  # noqa: B006
    json: opt.Json = False,
) -> None:
    """Say what such a run would do, cost and see, without doing it.

    Exits 2 where it cannot fit.
    """
    from ropo_bench.commands.plan.command import plan_command
    from ropo_bench.planning.devices import machine_of
    from ropo_bench.planning.power import read_wanted
    from ropo_bench.request import Asked, resolve
    from ropo_bench.store import Store

    asked = Asked(
        methods=methods,
        suite=suite,
        seeds=seeds,
        base=base,
        data=data,
        tasks=tasks,
        judge=judge,
        backend=backend,
        checkpoints=checkpoint,
        sets=sets,
        include=include,
        canaries=not no_canaries,
    )
    request = resolve(asked)
    plan_command(request, Store(runs), json, machine_of(machine, device_gib, devices), read_wanted(effect, request))


@app.command()
def gate(
    run: Annotated[str | None, typer.Argument(help="Name of a run (default: the newest).")] = None,
    baseline: opt.Baseline = "rolling:14",
    history: opt.History = None,
    confirm: Annotated[
        str | None, typer.Option("--confirm", help="A run of the same with fresh seeds, to confirm a suspicion.")
    ] = None,
    runs: opt.Runs = Path("runs"),
    json: opt.Json = False,
) -> None:
    """Say whether a run is worse than a baseline.

    Exits 0 GO, 1 REGRESSION, 3 open, 4 incomplete.
    """
    from ropo_bench.commands.gate import gate_command

    gate_command(run, baseline, history, confirm, runs, json)


@app.command()
def nightly(
    methods: opt.Methods = "ropo,dpo",
    suite: opt.Suite = "pocket",
    seeds: opt.Seeds = None,
    baseline: opt.Baseline = "rolling:14",
    history: opt.History = None,
    repeat_seeds: Annotated[
        int,
        typer.Option(
            "--repeat-seeds", min=0, max=MAX_SEEDS, help="Repeat the night this often, to learn the noise of seeds."
        ),
    ] = 0,
    new_anchor: Annotated[
        bool, typer.Option("--new-anchor", help="Start afresh: what was before is no baseline and no anchor.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the reports (default: RUNS/<name>/nightly).")
    ] = None,
    base: opt.Base = None,
    data: opt.Data = None,
    tasks: opt.Tasks = None,
    judge: opt.Judge = None,
    backend: opt.Backend = None,
    sets: opt.Sets = [],  # noqa: B006
    include: opt.Include = [],  # noqa: B006
    assets: opt.Assets = None,
    budget_calls: opt.Calls = None,
    budget_usd: opt.Usd = None,
    strict_model: opt.StrictModel = False,
    no_canaries: opt.NoCanaries = False,
    processes: opt.Processes = None,
    shard: opt.Shard = False,
    runs: opt.Runs = Path("runs"),
    name: opt.Name = None,
    json: opt.Json = False,
) -> None:
    """Run, gate, measure again what is suspected, report, remember.

    Exits 0 GO, 1 REGRESSION, 3 open, 4 incomplete.
    """
    from ropo_bench.commands.nightly import NightlyAsked, nightly_command
    from ropo_bench.request import Asked, Limits

    asked = Asked(
        methods=methods,
        suite=suite,
        seeds=seeds,
        base=base,
        data=data,
        tasks=tasks,
        judge=judge,
        backend=backend,
        sets=sets,
        include=include,
        canaries=not no_canaries,
        strict_model=strict_model,
    )
    wanted = NightlyAsked(baseline, history, repeat_seeds, new_anchor, out)
    nightly_command(asked, wanted, runs, name, json, Limits(budget_calls, budget_usd), asked_launch(processes, shard))


@app.command()
def doctor(
    suite: Annotated[str | None, typer.Option("--suite", help="Whether this suite can run here.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="Ask this judge one question.")] = None,
    base: opt.Base = None,
    include: opt.Include = [],  # noqa: B006
    runs: opt.Runs = Path("runs"),
    json: opt.Json = False,
) -> None:
    """Check the machine, and say how to mend what is missing."""
    from ropo_bench.commands.doctor import doctor_command

    doctor_command(suite, judge, base, json, runs, include)


@app.command()
def tune(
    methods: Annotated[str, typer.Option("--methods", help="Names or files, comma-separated, or: all.")] = "all",
    suite: opt.Suite = "pocket",
    seeds: Annotated[int, typer.Option("--seeds", min=2, max=MAX_SEEDS, help="Seeds around each peak.")] = 3,
    grid: Annotated[
        str | None, typer.Option("--grid", help="LOWEST:HIGHEST rate (default: around the rates known so far).")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, max=1024, help="Trials at a time, each a process.")] = 1,
    write: Annotated[Path | None, typer.Option("--write", help="Suite file to put the overrides into.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File for the record too, such as results/tuning/SUITE.json.")
    ] = None,
    include: opt.Include = [],  # noqa: B006
    runs: opt.Runs = Path("runs"),
    json: opt.Json = False,
) -> None:
    """Measure every method over one grid of learning rates, and choose.

    Trials are scored on the suite's validation prompts. A repeated command goes on where the last one stopped.
    """
    from ropo_bench.commands.tune import TuneAsked, tune_command

    tune_command(TuneAsked(methods, suite, seeds, grid, workers, write, out, include), runs, json)


app.command("new")(new_command)
