"""`ropo-bench doctor`: whether a suite can run here, line by line, and how to mend what keeps it from running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from ropo_bench.doctor import Line, examine
from ropo_bench.recipes.load import load_judge
from ropo_bench.request import Asked, resolve
from ropo_bench.store.bounded import dump_json
from ropo_bench.terminal.console import page_screen
from ropo_bench.terminal.screen import say

SCHEMA = 1
MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("PROBLEM", "bold red")}


def doctor_command(
    suite: str | None,
    judge: str | None,
    base: str | None,
    json: bool,
    runs: Path,
    include: Sequence[Path] = (),
) -> None:
    """Examine and print; exits 4 where a problem keeps the suite (default: pocket) from running.

    judge: judges the suite's tasks in this examination, and is asked one question.
    """
    request = resolve(Asked("", suite or "pocket", base=base, judge=judge, include=include))
    ping = load_judge(judge, include=include) if judge else None
    lines: list[Line] = []
    console = page_screen()
    for line in examine(request.suite, request.tasks, request.judges, ping, runs):
        lines.append(line)
        if not json:
            _print(console, line)
    problems = [line for line in lines if line.state == "problem"]
    if json:
        record = {"schema": SCHEMA, "suite": request.suite.name, "can_run": not problems}
        say(dump_json(record | {"lines": [asdict(line) for line in lines]}))
    else:
        verdict = "can run here" if not problems else f"cannot run here: {len(problems)} to mend"
        console.print(Text(f"suite {request.suite.name} {verdict}", style="bold"))
    if problems:
        raise typer.Exit(4)


def _print(console: Console, line: Line) -> None:
    mark, style = MARKS[line.state]
    head = Text(f"{line.name:<9} ") + Text(f"{mark:<8} ", style=style)
    console.print(head + Text(line.text), soft_wrap=True)
    if line.state != "ok" and line.mend:
        console.print(Text(f"{'':<18} -> {line.mend}", style="dim"), soft_wrap=True)
