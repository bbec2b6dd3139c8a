"""The commands. Nothing heavy is imported until a command needs it: `--help` stays quick."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ropo_bench.commands import options as opt
from ropo_bench.commands.assets import app as assets_app
from ropo_bench.commands.judge import app as judge_app
from ropo_bench.commands.methods import app as methods_app
from ropo_bench.commands.new import new_command
from ropo_bench.commands.results import app as results_app
from ropo_bench.commands.score.app import app as score_app
from ropo_bench.errors import RopoBenchError, doors, first_line
from ropo_bench.errors.failures import as_expected, note_work, work_of
from ropo_bench.store.bounded import MAX_SEEDS
from ropo_bench.terminal.screen import say, visible
from ropo_bench.training.team.launch import Launch, adopt

app = typer.Typer(
    help="Which preference-optimisation method is better, by how much, and whether to believe it.",
    epilog="Exit codes: 0 good, 1 a regression or a failed claim, 2 bad input, 3 open, 4 incomplete, 5 budget, "
    "70 internal error, 130 interrupted; docs/exit-codes.md says what to do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
pocket_app = typer.Typer(help="The embedded testbed.", no_args_is_help=True)
app.add_typer(results_app)
app.add_typer(methods_app, name="methods")
app.add_typer(score_app, name="score")
app.add_typer(judge_app, name="judge")
app.add_typer(assets_app, name="assets")
app.add_typer(pocket_app, name="pocket")
app.command("new")(new_command)


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
    processes: opt.Processes = 1,
    shard: opt.Shard = False,
    runs: opt.Runs = Path("runs"),
    name: opt.Name = None,
    explain: opt.Explain = False,
    json: opt.Json = False,
) -> None:
    """Train, merge, generate, judge and tabulate.

    A repeated command goes on where the last one stopped.
    """
    from ropo_bench.commands.run import run_command
    from ropo_bench.request import Asked, Limits

    asked = Asked(
        methods,
        suite,
        seeds,
        base,
        data,
        tasks,
        judge,
        backend,
        checkpoint,
        sets,
        include,
        not no_canaries,
        first_seed,
        rates,
        tuning,
        strict_model,
    )
    run_command(asked, runs, name, json, Limits(budget_calls, budget_usd), Launch(processes, shard), explain)


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
        "",
        suite,
        None,
        base,
        data,
        tasks,
        judge,
        backend,
        [f"{name}={model}"],
        [],
        include,
        not no_canaries,
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
    runs: opt.Runs = Path("runs"),
    effect: Annotated[list[str], typer.Option("--effect", help="Wanted: points, or TASK.METRIC=points.")] = [],  # noqa: B006
    json: opt.Json = False,
) -> None:
    """Say what such a run would do, cost and see, without doing it.

    Exits 2 where it cannot fit.
    """
    from ropo_bench.commands.plan.command import plan_command
    from ropo_bench.planning import given_machine
    from ropo_bench.planning.power import read_wanted
    from ropo_bench.request import Asked, resolve
    from ropo_bench.store import Store

    asked = Asked(
        methods, suite, seeds, base, data, tasks, judge, backend, checkpoint, sets, include, not no_canaries
    )
    machine = None if device_gib is None else given_machine(device_gib, devices)
    request = resolve(asked)
    plan_command(request, Store(runs), json, machine, read_wanted(effect, request))


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
    processes: opt.Processes = 1,
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
        methods,
        suite,
        seeds,
        base,
        data,
        tasks,
        judge,
        backend,
        [],
        sets,
        include,
        not no_canaries,
        strict_model=strict_model,
    )
    wanted = NightlyAsked(baseline, history, repeat_seeds, new_anchor, out)
    nightly_command(asked, wanted, runs, name, json, Limits(budget_calls, budget_usd), Launch(processes, shard))


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


@pocket_app.command("build")
def pocket_build(
    out: Annotated[Path | None, typer.Option("--out", help="Assets folder (default: the package's own).")] = None,
    runs: opt.Runs = Path("runs"),
) -> None:
    """Rebuild the testbed from its seed.

    World, tokenizer, base model, preference pairs and difficulties.
    """
    from ropo_bench.commands.pocket import build_command

    build_command(out, runs)


def main() -> None:
    """Entry point: every error is one line on standard error and an exit code (docs/exit-codes.md)."""
    # Before torch is loaded: threads that spin while they wait slow a training several times when other processes
    # keep the cores busy (docs/log.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    doors.watch_signals()
    doors.escape_unprintable()
    try:
        code = _run_command()
        sys.stdout.flush()  # a full disk behind it is found here, not by the interpreter's end
    except doors.Interrupted as stop:
        doors.leave(stop.exit_code, stop.line())
    except BaseException as error:
        ending, line = _describe(error)
        doors.leave(ending, visible(line))
    doors.leave(code)


def _run_command() -> int:
    """Run the command that the command line names; its exit code."""
    if not adopt():  # one of several processes that a launcher started beside the first
        return 0
    code = app(standalone_mode=False)
    return code if isinstance(code, int) else 0


def _describe(error: BaseException) -> tuple[int, str]:
    """Exit code and line of whatever ended a command."""
    if callable(getattr(error, "show", None)):  # the command-line library's own, of a wrong command line
        output = io.StringIO()
        error.show(output)  # type: ignore[attr-defined]
        say(output.getvalue(), end="", file=sys.stderr)
        return int(getattr(error, "exit_code", 2)), ""
    cause = error.__context__ if isinstance(error, SystemExit) else error
    if cause is not None and doors.is_output_closed(cause):
        return doors.CLOSED, ""
    if doors.is_output_full(error):
        return 4, f"error: standard output: {first_line(error)}; free some space there, or print elsewhere"
    if isinstance(error, RopoBenchError):
        work = work_of(error)
        return error.exit_code, f"error: {error}" + (f" (in: {work})" if work else "")
    note_work(error, " ".join(["ropo-bench", *(part for part in sys.argv[1:2] if not part.startswith("-"))]))
    expected = as_expected(error)
    return expected.exit_code, f"error: {expected}"
