"""Benchmarks' child processes: sides take turns, and a failure is one line, never a hang."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks._alternate import Job, run_child, take_turns

CHILD = "tests.benchmarks.example_child"


def test_a_child_returns_what_it_measured(tmp_path: Path) -> None:
    outcome = run_child(Job("a", CHILD, {"value": 3}), tmp_path, 1, "cpu", 60)
    assert outcome.pop("process_seconds") > 0
    assert outcome == {"value": 3, "threads": "1", "gpus": ""}


def test_a_childs_failure_is_one_line_and_its_last_words(tmp_path: Path) -> None:
    run_child(Job("a", CHILD, {"value": 3}), tmp_path, 1, "cpu", 60)  # its result shall not be taken for b's
    outcome = run_child(Job("b", CHILD, {"fail": "no room"}), tmp_path, 1, "cpu", 60)
    assert outcome == {"error": "exit code 1: MemoryError: no room"}


def test_a_child_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    outcome = run_child(Job("a", CHILD, {"sleep": 60, "value": 1}), tmp_path, 1, "cpu", 1)
    assert outcome == {"error": "stopped after 1 s: it said nothing"}


def test_sides_take_turns_and_failures_are_not_repeated() -> None:
    ran: list[str] = []

    def run(job: Job) -> dict[str, Any]:
        ran.append(job.name)
        return {"error": "broken"} if job.name == "b" else {"value": len(ran)}

    jobs = [Job(name, CHILD, {}) for name in "abcd"]
    outcomes = take_turns(jobs, 3, run, drop=lambda found: {"c"})
    assert ran == ["a", "b", "c", "d", "a", "d", "a", "d"]
    assert outcomes["b"] == [{"error": "broken"}]
    assert [len(outcomes[name]) for name in "abcd"] == [3, 1, 1, 3]
