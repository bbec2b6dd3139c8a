"""`ropo-bench report`: a page and its figures for a run, from what is stored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ropo_bench.report import gather
from ropo_bench.runs.reading import Run, newest_run, open_run
from ropo_bench.store import Store, atomic_file, atomic_write_text
from ropo_bench.store.bounded import dump_json
from ropo_bench.terminal.screen import say

PAGE = "report.html"
FIGURES = "figures"


def report_command(
    names: Sequence[str], out: Path | None, as_json: bool, runs: Path, against: str | None = None
) -> None:
    """Write the report of every named run, or of the newest; raises UsageError for an unknown run.

    out: its folder, by default RUNS/<name>/report; with several runs a folder of one folder a run.
    """
    store = Store(runs)
    written = []
    for name in names or [newest_run(store)]:
        folder = store.run_folder(name) / "report" if out is None else out if len(names) < 2 else out / name
        written.append(write_report(open_run(store, name), folder, against))
    if as_json:
        say(dump_json({"reports": written}))
        return
    for files in written:
        say(files["page"])
        for section, reason in files["left_out"].items():
            say(f"  not shown in {section}: {reason}")


def write_report(run: Run, folder: Path, against: str | None = None) -> dict[str, Any]:
    """Write FOLDER/report.html and FOLDER/figures/NAME.{svg,pdf,png}; returns what was written, as JSON."""
    from ropo_bench.report.figures import FORMATS, file_bytes, inline
    from ropo_bench.report.page import page

    began = time.perf_counter()
    data = gather(run, against)
    files, elements = [], {}
    for title, figure in data.figures().items():
        contents = {kind: file_bytes(figure, title, kind) for kind in FORMATS}
        elements[title] = inline(contents["svg"], title)
        for kind, content in contents.items():
            path = folder / FIGURES / f"{title}.{kind}"
            with atomic_file(path) as temporary:
                temporary.write_bytes(content)
            files.append(str(path))
    text = page(data, elements)
    atomic_write_text(folder / PAGE, text)
    return {
        "run": run.name,
        "page": str(folder / PAGE),
        "bytes": len(text.encode()),
        "figures": files,
        "left_out": dict(data.left_out),
        "seconds": time.perf_counter() - began,
    }
