"""`ropo-bench nightly`: from a first night to a confirmed regression, and what is found before anything runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from ropo_bench.commands.gate import gate_command
from ropo_bench.commands.nightly import NightlyAsked, nightly_command
from ropo_bench.errors import StorageError, UsageError
from ropo_bench.leaderboard import leaderboard
from ropo_bench.leaderboard.formats import to_json
from ropo_bench.request import Asked, Limits
from ropo_bench.runs.reading import open_run
from ropo_bench.store import Store
from tests import stored_run, tiny_suite


def suite(folder: Path, base: Path, grader: str) -> Path:
    """The tiny suite with one graded task, its data beside it."""
    tiny_suite.write(folder, base)
    (folder / "tasks" / "tiny-chat.yaml").write_text(
        f"""description: four prompts, graded
prompts: {folder / "prompts.jsonl"}
decoding: {{max_new_tokens: 12, temperature: 1.0, batch_size: 4}}
scorer: graded-chat
options: {{grader: "tests.gate.graders:{grader}"}}
columns: [{{metric: score, header: chat}}]
"""
    )
    path = folder / "suites" / "tiny.yaml"
    path.write_text(path.read_text().replace("[tiny-arena, energy]", "[tiny-chat]"))
    return folder


@pytest.fixture(scope="module")
def place(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good and a broken suite; nights of it share a store and a history."""
    folder = tmp_path_factory.mktemp("nights")
    suite(folder / "good", base_folder, "by_letters")
    suite(folder / "broken", base_folder, "broken")
    for name in ("suites/tiny.yaml", "tasks/tiny-chat.yaml"):  # the same data: nothing but the grader differs
        text = (folder / "good" / name).read_text()
        (folder / "broken" / name).write_text(text.replace("by_letters", "broken"))
    return folder


@pytest.fixture
def night(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """One night of a suite: its exit code and its JSON."""

    def go(kind: str, name: str = "night", **options: Any) -> tuple[int, dict[str, Any]]:
        time.sleep(1.1)  # nights are told apart by the second
        asked = Asked("ropo", "tiny", include=[place / kind])
        wanted = NightlyAsked(history=place / "history.jsonl", out=place / "out", **options)
        try:
            nightly_command(asked, wanted, place / "runs", name, True, Limits())
            code = 0
        except typer.Exit as stop:
            code = stop.exit_code
        return code, json.loads(capsys.readouterr().out)

    return go


@pytest.mark.slow
def test_nights_from_the_first_to_a_confirmed_regression(
    place: Path,
    night: Callable[..., tuple[int, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place / "summary.md"))
    code, first = night("good", repeat_seeds=2)
    assert (code, first["verdict"]) == (3, "INCONCLUSIVE")
    assert first["cells"][0]["reason"] == "nothing to compare with yet"
    code, second = night("good")
    assert (code, second["verdict"], second["changes"]) == (0, "GO", [])
    gate_command("night", "rolling:14", place / "history.jsonl", None, place / "runs", True)
    assert json.loads(capsys.readouterr().out) == second
    code, third = night("broken", name="broken-night")
    assert (code, third["verdict"]) == (1, "REGRESSION")
    assert third["cells"][0]["again"] == 1.0
    assert {"recipe: task tiny-chat"} == {change["what"] for change in third["changes"]}
    with pytest.raises(typer.Exit) as stop:
        gate_command(None, "rolling:14", place / "history.jsonl", None, place / "runs", True)
    assert (stop.value.exit_code, json.loads(capsys.readouterr().out)) == (1, third)
    lines = [json.loads(line) for line in (place / "history.jsonl").read_text().splitlines()]
    assert [line["verdict"] for line in lines] == ["INCONCLUSIVE", "GO", "REGRESSION"]
    assert len(lines[0]["repeats"]) == 2
    assert list(lines[2]["again"]) == ["SFT", "ropo"]
    summary = (place / "summary.md").read_text()
    assert [line for line in summary.splitlines() if line.startswith("# ")][2].startswith("# REGRESSION: tiny")
    assert (place / "out" / "gate.md").read_text() in summary
    assert (place / "out" / "report.html").exists()


def test_gate_reads_what_nightly_wrote(
    place: Path, night: Callable[..., tuple[int, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same verdict again, from the store and the history alone; a fixed baseline; a confirming run."""

    def gate(run: str, given: str, path: Path, confirm: str | None = None) -> dict[str, Any]:
        with pytest.raises(typer.Exit) as stop:
            gate_command(run, given, path, confirm, place / "runs", True)
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert stop.value.exit_code == found["exit_code"]
        return found

    history = place / "history.jsonl"
    before = history.read_text()
    baseline = place / "baseline.json"
    baseline.write_text(to_json(leaderboard(open_run(Store(place / "runs"), "night"))))
    gate_command("night", str(baseline), history, None, place / "runs", False)
    assert capsys.readouterr().out.splitlines()[-1].startswith("GO: ")
    earlier = place / "earlier.jsonl"  # without the line of the broken night, and its re-run
    earlier.write_text("".join(before.splitlines(keepends=True)[:2]))
    for given in ("rolling:14", str(baseline)):
        assert gate("broken-night", given, earlier)["verdict"] == "SUSPECTED"
        assert gate("broken-night", given, history)["verdict"] == "REGRESSION"
    assert gate("broken-night", "rolling:14", earlier, "broken-night-again")["verdict"] == "REGRESSION"
    with pytest.raises(UsageError, match=r"row ropo has seed 0, as broken-night has; only fresh seeds confirm"):
        gate_command("broken-night", "rolling:14", history, "broken-night", place / "runs", True)
    with pytest.raises(UsageError, match=r"--confirm night: task tiny-chat is not that of broken-night"):
        gate_command("broken-night", "rolling:14", history, "night", place / "runs", True)
    assert history.read_text() == before


@pytest.mark.parametrize("line", ["columns: [tiny-arena.win_rat]", "margins: {tiny-arena.tokens: 1}"])
def test_a_column_that_cannot_be_watched_is_found_before_anything_is_run(
    base_folder: Path, tmp_path: Path, line: str
) -> None:
    tiny_suite.write(tmp_path, base_folder)
    path = tmp_path / "suites" / "tiny.yaml"
    path.write_text(f"{path.read_text()}gate: {{{line}}}\n")
    asked = Asked("ropo", "tiny", include=[tmp_path])
    with pytest.raises(UsageError, match="suite tiny: gate, column tiny-arena"):
        nightly_command(asked, NightlyAsked(), tmp_path / "runs", None, False, Limits())
    assert not (tmp_path / "runs").exists()


def test_a_history_that_cannot_be_written_is_found_before_anything_is_run(base_folder: Path, tmp_path: Path) -> None:
    tiny_suite.write(tmp_path, base_folder)
    (tmp_path / "file").touch()
    asked, wanted = Asked("ropo", "tiny", include=[tmp_path]), NightlyAsked(history=tmp_path / "file" / "h.jsonl")
    with pytest.raises(StorageError, match="file"):
        nightly_command(asked, wanted, tmp_path / "runs", None, False, Limits())
    assert not (tmp_path / "runs" / "cache").exists()


@pytest.mark.parametrize("given", ["rolling:", "rolling:0", "rolling:x", "no/such/file"])
def test_a_wrong_baseline_is_found_before_anything_is_run(tmp_path: Path, given: str) -> None:
    with pytest.raises(UsageError, match="--baseline"):
        nightly_command(Asked("ropo", "pocket"), NightlyAsked(given), tmp_path / "runs", None, False, Limits())
    assert not (tmp_path / "runs").exists()


def test_no_report_of_an_earlier_night_stands_in_a_crashed_nights_place(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_suite.write(tmp_path, base_folder)
    out = tmp_path / "out"
    asked = Asked("ropo", "tiny", include=[tmp_path])

    def crash(*_: Any) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("ropo_bench.commands.nightly.run_pipeline", crash)
    own = NightlyAsked(history=tmp_path / "h.jsonl"), tmp_path / "runs" / "night" / "nightly"
    given = NightlyAsked(history=tmp_path / "h.jsonl", out=out), out
    unknown = Asked("ropo", "tiny", include=[tmp_path], tasks="no-such-task")
    for (wanted, folder), request, error in [
        (own, asked, StorageError),
        (own, unknown, UsageError),
        (given, asked, StorageError),
        (given, unknown, UsageError),
    ]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gate.md").write_text("# GO: tiny\n")
        (folder / "gate.json").write_text('{"verdict": "GO"}')
        (folder / "report.html").write_text("GO")
        with pytest.raises(error):
            nightly_command(request, wanted, tmp_path / "runs", "night", True, Limits())
        assert [path.name for path in folder.iterdir()] == ["gate.md"]
        assert (folder / "gate.md").read_text().startswith("# INCOMPLETE: this night did not finish")


def test_a_night_takes_no_other_suites_name(base_folder: Path, tmp_path: Path) -> None:
    tiny_suite.write(tmp_path, base_folder)
    store = Store(tmp_path / "runs")
    asked = stored_run.request()
    other = asked.model_copy(update={"suite": asked.suite.model_copy(update={"name": "pocket"})})
    store.write_run("mine", stored_run.record(other).model_dump())
    wanted = NightlyAsked(history=tmp_path / "h.jsonl")
    with pytest.raises(UsageError, match="--name mine: there is a run of this name, of suite pocket; give another"):
        nightly_command(Asked("ropo", "tiny", include=[tmp_path]), wanted, store.root, "mine", True, Limits())
