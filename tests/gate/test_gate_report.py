"""The gate's report: the verdict first, the worst cells first, nothing that did not change."""

from __future__ import annotations

import json
from dataclasses import replace

from ropo_bench.gate.decision import decide
from ropo_bench.gate.differences import Change, differences
from ropo_bench.gate.evidence import Baseline
from ropo_bench.gate.night import Night, Row
from ropo_bench.gate.report import GateReport, to_json, to_lines, to_markdown
from tests.gate.nights import cell, night


def made_with(commit: str, torch: str) -> dict[str, object]:
    return {
        "code": {"commit": commit, "dirty": False},
        "packages": {"torch": torch},
        "hardware": {"gpus": ["A", "B"]},
        "time_utc": commit,
    }


def report() -> GateReport:
    history = [
        night(number, [6.0 + 0.01 * number, 6.1, 5.9], provenance=made_with("aaa", "2.1")) for number in range(1, 9)
    ]
    rows = {
        "ropo": Row("done", {"chat.score": cell([6.0, 6.1, 5.95])}),
        "a|b": Row("failed: `NaN` | loss", {}),
        "dpo": Row("done", {"chat.score": cell([5.0, 5.0, 5.0])}),
    }
    history = [replace(one, rows={**one.rows, "dpo": one.rows["ropo"]}) for one in history]
    tonight = night(20, [], rows=rows, provenance=made_with("bbb", "2.2"))
    decision = decide(tonight, history, Baseline())
    return GateReport(tonight, decision, "the nights before", "the night before", differences(history[-1], tonight))


def test_only_what_differs_is_told_and_times_are_not() -> None:
    before = night(1, [1.0], provenance=made_with("aaa", "2.1"), recipes={"method ropo": "1", "task chat": "1"})
    now = night(2, [1.0], provenance=made_with("bbb", "2.1"), recipes={"method ropo": "2", "task chat": "1"})
    assert differences(before, now) == [
        Change("code: commit", "aaa", "bbb"),
        Change("recipe: method ropo", "1", "2"),
    ]
    added = Night("t", "r", "s", {}, {}, {"packages": {"vllm": "1"}})
    assert differences(Night("t", "r", "s", {}, {}), added) == [Change("packages: vllm", "-", "1")]


def test_markdown_has_the_verdict_first_and_the_worst_cells_first() -> None:
    lines = to_markdown(report()).splitlines()
    assert lines[0] == "# INCOMPLETE: pocket, 2026-01-20T03:00:00Z"
    table = [line for line in lines if line.startswith("| ") and "chat.score" in line]
    assert [line.split(" | ")[2] for line in table] == ["INCOMPLETE", "SUSPECTED", "GO"]
    assert "3 cells watched: 1 INCOMPLETE, 1 SUSPECTED, 1 GO. Compared with the nights before." in lines
    assert "| packages: torch | 2.1 | 2.2 |" in lines
    # A name from outside breaks no table.
    assert all(line.replace(r"\|", "").count("|") == 13 for line in table)


def test_lines_end_with_the_verdict() -> None:
    lines = to_lines(report())
    assert lines[0].startswith("INCOMPLETE    a|b chat.score  failed")
    assert lines[-1].startswith("INCOMPLETE: ")


def test_a_first_night_is_told_so() -> None:
    tonight = night(1, [6.0, 6.1, 5.9])
    decision = decide(tonight, [], Baseline())
    (*_, last) = to_lines(GateReport(tonight, decision, "the nights before", None, []))
    assert last.startswith("INCONCLUSIVE: there is nothing to compare with yet")


def test_json_has_every_number() -> None:
    value = json.loads(to_json(report()))
    assert (value["schema"], value["verdict"], value["exit_code"]) == (1, "INCOMPLETE", 4)
    (found,) = [cell for cell in value["cells"] if cell["row"] == "dpo"]
    assert found["verdict"] == "SUSPECTED"
    assert found["low"] < -found["margin"]
