"""The commands. Nothing heavy is imported until a command needs it: `--help` stays quick."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ropo_bench.commands.assets import app as assets_app
from ropo_bench.commands.judge import app as judge_app
from ropo_bench.commands.methods import app as methods_app
from ropo_bench.commands.score import app as score_app
from ropo_bench.errors import RopoBenchError

app = typer.Typer(
    help="Which preference-optimisation method is better, by how much, and whether to believe it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
pocket_app = typer.Typer(help="The embedded testbed.", no_args_is_help=True)
app.add_typer(methods_app, name="methods")
app.add_typer(score_app, name="score")
app.add_typer(judge_app, name="judge")
app.add_typer(assets_app, name="assets")
app.add_typer(pocket_app, name="pocket")

Runs = Annotated[Path, typer.Option("--runs", help="Folder of all runs and of what they share.")]
Suite = Annotated[str, typer.Option("--suite", help="Suite: a name or a YAML file.")]
Include = Annotated[list[Path], typer.Option("--include", help="Folder with recipes of your own.")]
Sets = Annotated[list[str], typer.Option("--set", help="loss.beta=0.05 for all methods, ropo.train.lr=1e-4 for one.")]
Base = Annotated[str | None, typer.Option("--base", help="Base model: a folder or a hub id.")]
Data = Annotated[str | None, typer.Option("--data", help="Preference data: a file or a hub id.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Methods = Annotated[str, typer.Option("--methods", help="Names or files, comma-separated, or: all.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Seeds a method (default: the suite's).")]
Tasks = Annotated[str | None, typer.Option("--tasks", help="Only these, comma-separated (default: the suite's).")]
Judge = Annotated[str | None, typer.Option("--judge", help="Judge of every judged task: a name or a YAML file.")]
Backend = Annotated[str | None, typer.Option("--backend", help="auto, vllm or hf (default: the suite's).")]
Checkpoint = Annotated[
    list[str], typer.Option("--checkpoint", help="NAME=PATH_OR_HUB_ID of a model trained elsewhere.")
]
Assets = Annotated[Path | None, typer.Option("--assets", help="Mirror folder of benchmark files.")]
Calls = Annotated[int | None, typer.Option("--budget-calls", min=0, help="Most requests to judges.")]
Usd = Annotated[float | None, typer.Option("--budget-usd", min=0, help="Most dollars for judges.")]
NoCanaries = Annotated[bool, typer.Option("--no-canaries", help="Do not check the judges for bias.")]
Name = Annotated[str | None, typer.Option("--name", help="Name of the run (default: suite and a hash).")]


@app.command()
def run(
    methods: Methods = "ropo,dpo",
    suite: Suite = "pocket",
    seeds: Seeds = None,
    base: Base = None,
    data: Data = None,
    tasks: Tasks = None,
    judge: Judge = None,
    backend: Backend = None,
    checkpoint: Checkpoint = [],  # noqa: B006 (typer copies it)
    sets: Sets = [],  # noqa: B006
    include: Include = [],  # noqa: B006
    assets: Assets = None,
    budget_calls: Calls = None,
    budget_usd: Usd = None,
    no_canaries: NoCanaries = False,
    runs: Runs = Path("runs"),
    name: Name = None,
    json: Json = False,
) -> None:
    """Train, merge, generate, judge and tabulate; a repeated command goes on where the last one stopped."""
    from ropo_bench.commands.run import Asked, Limits, run_command

    mirror(assets)
    asked = Asked(
        methods, suite, seeds, base, data, tasks, judge, backend, checkpoint, sets, include, not no_canaries
    )
    run_command(asked, runs, name, json, Limits(budget_calls, budget_usd))


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="Folder or hub id of the model (or of an adapter).")],
    name: Annotated[str, typer.Option("--name", help="Its name in the table.")],
    suite: Suite = "pocket",
    base: Base = None,
    data: Data = None,
    tasks: Tasks = None,
    judge: Judge = None,
    backend: Backend = None,
    include: Include = [],  # noqa: B006
    assets: Assets = None,
    budget_calls: Calls = None,
    budget_usd: Usd = None,
    no_canaries: NoCanaries = False,
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Measure a model that was trained elsewhere, beside the suite's SFT model."""
    from ropo_bench.commands.run import Asked, Limits, run_command

    mirror(assets)
    asked = Asked(
        "", suite, None, base, data, tasks, judge, backend, [f"{name}={model}"], [], include, not no_canaries
    )
    run_command(asked, runs, None, json, Limits(budget_calls, budget_usd))


@app.command()
def plan(
    methods: Methods = "ropo,dpo",
    suite: Suite = "pocket",
    seeds: Seeds = None,
    base: Base = None,
    data: Data = None,
    tasks: Tasks = None,
    judge: Judge = None,
    backend: Backend = None,
    checkpoint: Checkpoint = [],  # noqa: B006
    sets: Sets = [],  # noqa: B006
    include: Include = [],  # noqa: B006
    assets: Assets = None,
    no_canaries: NoCanaries = False,
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Say what such a run would do, and what it would cost, without doing it."""
    from ropo_bench.commands.plan import plan_command
    from ropo_bench.commands.run import Asked, resolve
    from ropo_bench.runs import Store

    mirror(assets)
    asked = Asked(
        methods, suite, seeds, base, data, tasks, judge, backend, checkpoint, sets, include, not no_canaries
    )
    plan_command(resolve(asked), Store(runs), json)


@app.command()
def table(
    run: Annotated[str | None, typer.Argument(help="Name of a run (default: the newest).")] = None,
    format: Annotated[str, typer.Option("--format", help="text, md, latex, csv or json.")] = "text",
    runs: Runs = Path("runs"),
) -> None:
    """Print the leaderboard of a run, finished or not, from what is stored."""
    from ropo_bench.commands.table import table_command

    table_command(run, format, runs)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Folder for the files.")],
    run: Annotated[str | None, typer.Option("--run", help="Name of a run (default: the newest).")] = None,
    assets: Assets = None,
    runs: Runs = Path("runs"),
) -> None:
    """Write a run's answers and verdicts as FastChat's and alpaca_eval's own files."""
    from ropo_bench.commands.export import export_command

    mirror(assets)
    export_command(run, out, runs)


@app.command()
def doctor(
    suite: Annotated[str | None, typer.Option("--suite", help="Whether this suite can run here.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="Ask this judge one question.")] = None,
    base: Base = None,
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Check the machine, and say how to mend what is missing."""
    from ropo_bench.commands.doctor import doctor_command

    doctor_command(suite, judge, base, json, runs)


@app.command()
def tune(
    methods: Annotated[str, typer.Option("--methods", help="Names or files, comma-separated, or: all.")] = "all",
    suite: Suite = "pocket",
    trials: Annotated[int, typer.Option("--trials", min=1, max=9, help="Grid points for every method.")] = 5,
    write: Annotated[Path | None, typer.Option("--write", help="Suite file to put the overrides into.")] = None,
    include: Include = [],  # noqa: B006
    runs: Runs = Path("runs"),
    json: Json = False,
) -> None:
    """Find every method's learning rate with the same budget, on the suite's validation prompts."""
    from ropo_bench.commands.tune import tune_command

    tune_command(methods, suite, trials, write, include, runs, json)


@pocket_app.command("build")
def pocket_build(
    out: Annotated[Path | None, typer.Option("--out", help="Assets folder (default: the package's own).")] = None,
    runs: Runs = Path("runs"),
) -> None:
    """Rebuild the world, tokenizer, base model, preference pairs and difficulties from their seed."""
    from ropo_bench.commands.pocket import build_command

    build_command(out, runs)


def mirror(assets: Path | None) -> None:
    """Look for benchmark files in the folder of --assets first, where one was given."""
    if assets is not None:
        from ropo_bench.assets import use_mirror

        use_mirror(assets)


class _Interrupted(BaseException):
    """Ctrl-C, under a name that the command-line library does not turn into its own exit code."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise _Interrupted


def main() -> None:
    """Entry point: every error a user can meet is one line on standard error and an exit code."""
    # Before torch is loaded: threads that spin while they wait slow a training several times when other processes
    # keep the cores busy (docs/log.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except RopoBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except _Interrupted:
        print("interrupted: what was finished is kept, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
