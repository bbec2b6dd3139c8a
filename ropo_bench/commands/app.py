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
from ropo_bench.commands.results import app as results_app
from ropo_bench.commands.running import app as running_app
from ropo_bench.commands.runs import app as runs_app
from ropo_bench.commands.score.app import app as score_app
from ropo_bench.errors import RopoBenchError, first_line
from ropo_bench.errors.failures import as_expected, note_work, work_of
from ropo_bench.errors.signals import Interrupted, watch_signals
from ropo_bench.errors.streams import CLOSED, escape_unprintable, is_output_closed, is_output_full, leave
from ropo_bench.terminal.screen import say, visible
from ropo_bench.training.team.launch import adopt

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
app.add_typer(running_app)
app.add_typer(results_app)
app.add_typer(methods_app, name="methods")
app.add_typer(score_app, name="score")
app.add_typer(judge_app, name="judge")
app.add_typer(assets_app, name="assets")
app.add_typer(runs_app, name="runs")
app.add_typer(pocket_app, name="pocket")


@pocket_app.command("build")
def pocket_build(
    out: Annotated[Path | None, typer.Option("--out", help="Assets folder (default: the package's own).")] = None,
    runs: opt.Runs = Path("runs"),
) -> None:
    """Rebuild the testbed from its seed.

    World, tokenizer, base model, preference pairs and difficulties.
    """
    from ropo_bench.pocket.build.steps import build
    from ropo_bench.sources.shipped import POCKET_ASSETS
    from ropo_bench.store import Store
    from ropo_bench.terminal.progress import Progress

    with Progress() as progress:
        build(out or POCKET_ASSETS, Store(runs), progress)


def main() -> None:
    """Entry point: every error is one line on standard error and an exit code (docs/exit-codes.md)."""
    # Before torch is loaded: threads that spin while they wait slow a training several times when other processes
    # keep the cores busy (docs/log.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    watch_signals()
    escape_unprintable()
    try:
        code = _run_command()
        sys.stdout.flush()  # a full disk behind it is found here, not by the interpreter's end
    except Interrupted as stop:
        leave(stop.exit_code, stop.line())
    except BaseException as error:
        ending, line = _describe(error)
        leave(ending, visible(line))
    leave(code)


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
    if cause is not None and is_output_closed(cause):
        return CLOSED, ""
    if is_output_full(error):
        return 4, f"error: standard output: {first_line(error)}; free some space there, or print elsewhere"
    if isinstance(error, RopoBenchError):
        work = work_of(error)
        return error.exit_code, f"error: {error}" + (f" (in: {work})" if work else "")
    note_work(error, " ".join(["ropo-bench", *(part for part in sys.argv[1:2] if not part.startswith("-"))]))
    expected = as_expected(error)
    return expected.exit_code, f"error: {expected}"
