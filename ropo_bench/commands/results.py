"""The commands that read finished work: table, report, compare, claims, publish, verify, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ropo_bench.commands import options as opt

app = typer.Typer()


@app.command()
def table(
    names: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs (default: the newest).")] = None,
    style: Annotated[
        str, typer.Option("--style", help="full, or paper: tested columns, beside published ones.")
    ] = "full",
    format: Annotated[str, typer.Option("--format", help="text, md, latex, csv or json.")] = "text",
    against: opt.Against = None,
    runs: opt.Runs = Path("runs"),
) -> None:
    """Print the leaderboard of runs, finished or not."""
    from ropo_bench.commands.table import table_command

    table_command(names or [], format, style, runs, against)


@app.command()
def report(
    names: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs (default: the newest).")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder (default: RUNS/NAME/report).")] = None,
    against: opt.Against = None,
    assets: opt.Assets = None,
    runs: opt.Runs = Path("runs"),
    json: opt.Json = False,
) -> None:
    """Write a report: one HTML file; figures as SVG, PDF and PNG."""
    from ropo_bench.commands.report import report_command

    report_command(names or [], out, json, runs, against)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN_A", help="A run, or RUN:ROW.")],
    second: Annotated[
        str | None, typer.Argument(metavar="[RUN_B]", help="Another (or RUN:ROW); none with --rows.")
    ] = None,
    rows: Annotated[str | None, typer.Option("--rows", help="Rows to compare, comma-separated.")] = None,
    top: Annotated[int, typer.Option("--top", min=0, help="Most changed prompts each way, a column.")] = 3,
    runs: opt.Runs = Path("runs"),
    json: opt.Json = False,
) -> None:
    """Paired differences of rows, flips and the most changed prompts.

    Rows of one run, or of two.
    """
    from ropo_bench.commands.compare import compare_command

    compare_command(first, second, rows, top, runs, json)


@app.command()
def claims(
    run: Annotated[str | None, typer.Argument(help="Name of a run (default: the newest).")] = None,
    claims: Annotated[Path, typer.Option("--claims", help="YAML file of claims.")] = Path("claims.yaml"),
    runs: opt.Runs = Path("runs"),
    json: opt.Json = False,
) -> None:
    """Check a file of claims against a run.

    SUPPORTED (exit 0), NOT SUPPORTED (1), UNDERPOWERED (3), PENDING or INCOMPLETE (4).
    """
    from ropo_bench.commands.claims import claims_command

    claims_command(run, claims, runs, json)


@app.command()
def publish(
    run: Annotated[str | None, typer.Argument(help="Name of a run (default: the newest).")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder (default: results/RUN).")] = None,
    commit: Annotated[list[str], typer.Option("--commit", help="A commit that made the run; once for each.")] = [],  # noqa: B006
    runs: opt.Runs = Path("runs"),
    json: opt.Json = False,
) -> None:
    """Copy the small, reviewable part of a finished run.

    Recipe, provenance, scores as numbers, certificates and table; no weights, no texts.
    """
    from ropo_bench.commands.publish import publish_command

    publish_command(run, out, commit, runs, json)


@app.command()
def verify(
    results: Annotated[list[Path], typer.Argument(help="Published results, or a folder of them.")],
    write: Annotated[bool, typer.Option("--write", help="Write a table again that is another one today.")] = False,
    json: opt.Json = False,
) -> None:
    """Derive published tables again from their own scores.

    Exits 1 where one differs, 3 where it cannot be told here.
    """
    from ropo_bench.commands.verify import verify_command

    verify_command(results, json, write)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Folder for the files.")],
    run: Annotated[str | None, typer.Option("--run", help="Name of a run (default: the newest).")] = None,
    assets: opt.Assets = None,
    runs: opt.Runs = Path("runs"),
) -> None:
    """Write answers and verdicts as FastChat's and alpaca_eval's files."""
    from ropo_bench.publishing.export import export as export_run
    from ropo_bench.runs.reading import named_run
    from ropo_bench.terminal.screen import say

    say("\n".join(str(path) for path in export_run(named_run(runs, run), out)))
