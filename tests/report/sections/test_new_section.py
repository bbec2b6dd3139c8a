"""A section that the package does not know: a module and a line in the list are all that it needs."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ropo_bench.commands.report import report_command
from ropo_bench.report import gather
from ropo_bench.runs.reading import open_run
from ropo_bench.store import Store
from tests import stored_run

SOURCE = """
from ropo_bench.report.figures.style import grid
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.tables import Line, PlainTable


def gather(run):
    tasks = run.tasks
    return {row: len(seeds) for row, seeds in (run.scored_rows(tasks[0]) if tasks else {}).items()} or None


def left_out(run, data):
    return run.missing(run.everyone, set(data or ()))


def draw(data, board):
    figure, (panel,) = grid(1, 1, 2.0, 2.0)
    panel.barh([row.name for row in board.ordered_rows if row.name in data], list(data.values()))
    return figure


def tables(data):
    lines = [Line(row, [str(count)]) for row, count in data.items()]
    return [PlainTable("How many <seeds> are scored.", ["row", "seeds"], lines)]


SECTION = Section("num-seeds", "Scored seeds", "One bar a row.", gather, left_out, draw, tables)
"""


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with its line in the list."""
    module = ModuleType("num_seeds")
    exec(SOURCE, module.__dict__)
    report = importlib.import_module("ropo_bench.report")
    monkeypatch.setattr(report, "SECTIONS", (module.SECTION, *report.SECTIONS))
    return module


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A run of three rows, the last of them without scores."""
    store = Store(tmp_path / "runs")
    scores = {"arena": {"win_rate": [50.0, 100.0, 0.0], "length": [4.0, 4.0, 4.0]}}
    stored_run.write(store, "known", {"SFT": [scores], "dpo": [scores, scores], "ropo": None})
    return store


def write(store: Store, folder: Path, capsys: pytest.CaptureFixture[str]) -> Mapping[str, Any]:
    report_command(["known"], folder, True, store.root)
    (written,) = json.loads(capsys.readouterr().out)["reports"]
    return dict(written)


def test_it_is_in_the_page_the_figures_and_the_json(
    listed: ModuleType, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gather(open_run(store, "known")).of(listed.SECTION) == {"SFT": 1, "dpo": 2}
    written = write(store, tmp_path / "report", capsys)
    html = Path(written["page"]).read_text("utf-8")
    assert '<section id="num-seeds" aria-labelledby="num-seeds-title">' in html
    assert '<a href="#leaderboard">Leaderboard</a>\n<a href="#num-seeds">Scored seeds</a>' in html
    assert 'aria-label="Scored seeds"' in html
    assert "How many &lt;seeds&gt; are scored." in html
    assert '<p class="left-out">Not shown: not there yet: ropo</p>' in html
    assert html.index('id="num-seeds"') < html.index('id="win-rates"')  # the list is the order
    assert [Path(path).name for path in written["figures"]][:3] == ["num-seeds.svg", "num-seeds.pdf", "num-seeds.png"]
    assert all(Path(path).stat().st_size for path in written["figures"])
    assert written["left_out"]["num-seeds"] == "not there yet: ropo"


def test_without_its_line_it_is_nowhere(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = write(store, tmp_path / "report", capsys)
    assert "num-seeds" not in Path(written["page"]).read_text("utf-8")
    assert "num-seeds" not in json.dumps(written)


def test_what_it_has_none_of_is_only_said(listed: ModuleType, store: Store, tmp_path: Path) -> None:
    stored_run.write(store, "new", {"SFT": None, "dpo": None})
    data = gather(open_run(store, "new"))
    assert data.of(listed.SECTION) is None
    assert data.left_out["num-seeds"] == "nothing of it is there yet"
    assert data.figures() == {}
