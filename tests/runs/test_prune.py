"""Freeing the disk: what goes, what stays, and that no number and no later command is another one for it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import StorageError
from ropo_bench.runs.prune import TEMPORARY_SECONDS, UNFINISHED_SECONDS, collect_garbage, prune
from ropo_bench.runs.reading import open_run
from ropo_bench.store import Store
from ropo_bench.store.locks import ALONE, SHARED
from tests import tiny_suite
from tests.forked import Process, python

METHODS = ["--methods", "ropo,dpo", "--name", "night"]


def ropo_bench(*arguments: str, cwd: Path) -> Process:
    return python("from ropo_bench.commands.app import main; main()", *arguments, cwd=cwd)


def out_of(*arguments: str, cwd: Path, code: int = 0) -> tuple[str, str]:
    process = ropo_bench(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=200)
    assert process.returncode == code, err
    return out, err


@pytest.fixture(scope="module")
def suite(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_suite.write(tmp_path_factory.mktemp("suite"), base_folder)


@pytest.fixture(scope="module")
def finished(suite: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run `night` of two methods and one task, beside which energy is another."""
    folder = tmp_path_factory.mktemp("finished")
    out_of("run", *METHODS, *suite, "--tasks", "tiny-arena", cwd=folder)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def manifests(folder: Path, *names: str) -> dict[str, int]:
    paths = [path for name in names for path in (folder / "runs" / "cache" / name).glob("*/manifest.json")]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in paths}


def weights(folder: Path) -> list[Path]:
    return sorted((folder / "runs" / "cache").glob("*/*/*/*.safetensors"))


def numbers(text: str) -> dict[str, Any]:
    return {row["name"]: (row["cells"], row["state"]) for row in json.loads(text)["rows"]}


MADE = ("policy", "merged", "completions", "scores")


def test_after_a_prune_all_readers_and_the_same_run_go_on_with_equal_numbers(folder: Path, suite: list[str]) -> None:
    same_run = ["run", *METHODS, *suite, "--tasks", "tiny-arena", "--json"]
    table, _ = out_of("table", "night", "--format", "json", cwd=folder)
    compared, _ = out_of("compare", "night", "--rows", "ropo,dpo", "--json", cwd=folder)
    told, _ = out_of("runs", "prune", "--dry-run", "--json", cwd=folder)
    assert len(weights(folder)) >= 4
    freed, _ = out_of("runs", "prune", "--json", cwd=folder)
    assert json.loads(freed)["bytes"] == json.loads(told)["bytes"] > 0
    assert weights(folder) == []
    before = manifests(folder, *MADE)
    again, _ = out_of(*same_run, cwd=folder)
    assert manifests(folder, *MADE) == before, "something was made"
    assert numbers(again) == numbers(table)
    assert out_of("table", "night", "--format", "json", cwd=folder)[0] == table
    assert out_of("compare", "night", "--rows", "ropo,dpo", "--json", cwd=folder)[0] == compared
    out_of("report", "night", cwd=folder)
    assert json.loads(out_of("runs", "prune", "--json", cwd=folder)[0])["removed"] == []


def test_after_a_prune_the_next_night_trains_nothing_and_the_gate_says_the_same(
    folder: Path, suite: list[str]
) -> None:
    nightly = ["nightly", *METHODS, *suite, "--tasks", "tiny-arena", "--history", "nights.jsonl", "--out", "out"]
    out_of(*nightly, cwd=folder, code=3)  # no night before it
    gate = ["gate", "night", "--history", "nights.jsonl", "--json"]
    said, _ = out_of(*gate, cwd=folder, code=3)
    out_of("runs", "prune", cwd=folder)
    before = manifests(folder, *MADE)
    assert out_of(*gate, cwd=folder, code=3)[0] == said
    ropo_bench(*nightly, cwd=folder).communicate(timeout=200)
    assert len((folder / "nights.jsonl").read_text().splitlines()) == 2
    assert manifests(folder, *MADE) == before
    assert weights(folder) == []


def test_a_new_task_makes_again_what_it_needs_and_says_why(folder: Path, suite: list[str]) -> None:
    out_of("runs", "prune", cwd=folder)
    answers = manifests(folder, "completions", "scores")
    out, err = out_of("run", *METHODS, *suite, "--json", cwd=folder)
    assert "ropo seed 0: its weights were pruned, and energy needs them" in err
    assert {row["state"] for row in json.loads(out)["rows"]} == {"done"}
    assert answers.items() <= manifests(folder, "completions", "scores").items()
    assert weights(folder)


def test_keep_merged_keeps_the_merged_weights_and_a_new_task_trains_nothing(folder: Path, suite: list[str]) -> None:
    out_of("runs", "prune", "--keep", "merged", cwd=folder)
    assert {path.parent.name for path in weights(folder)} == {"model"}
    before = manifests(folder, "policy", "merged")
    out_of("run", *METHODS, *suite, "--json", cwd=folder)
    assert manifests(folder, "policy", "merged") == before


def test_a_run_that_keeps_scores_prunes_as_rows_finish(finished: Path, suite: list[str], tmp_path: Path) -> None:
    out, _ = out_of("run", *METHODS, *suite, "--tasks", "tiny-arena", "--keep", "scores", "--json", cwd=tmp_path)
    assert weights(tmp_path) == []
    assert numbers(out) == numbers(out_of("table", "night", "--format", "json", cwd=finished)[0])


def test_kill_9_in_the_middle_of_a_prune_leaves_a_store_that_goes_on(folder: Path, suite: list[str]) -> None:
    script = """
import os, shutil, signal
from ropo_bench.commands.app import main
def die(folder, *rest, **more):
    next(path for path in sorted(folder.rglob("*")) if path.is_file()).unlink()
    os.kill(os.getpid(), signal.SIGKILL)
shutil.rmtree = die
main()
"""
    table, _ = out_of("table", "night", "--format", "json", cwd=folder)
    process = python(script, "runs", "prune", cwd=folder)
    process.communicate(timeout=100)
    assert process.returncode == -9
    before = manifests(folder, *MADE)
    again, _ = out_of("run", *METHODS, *suite, "--tasks", "tiny-arena", "--json", cwd=folder)
    assert numbers(again) == numbers(table)
    assert manifests(folder, *MADE) == before
    out_of("runs", "prune", cwd=folder)
    assert weights(folder) == []


def test_what_another_run_still_wants_stays(folder: Path) -> None:
    store = Store(folder / "runs")
    record = open_run(store, "night").record
    waiting = [row if row.name != "dpo" else row.model_copy(update={"state": "pending"}) for row in record.rows]
    store.write_run("other", record.model_copy(update={"rows": waiting, "complete": False}).model_dump())
    prune(store, ["night"], "scores", dry_run=False)
    [wanted] = [row for row in record.rows if row.name == "dpo"]
    assert {path.parents[1].name for path in weights(folder)} == {wanted.policy, wanted.merged}


def test_nothing_is_pruned_while_a_command_works_in_the_store(folder: Path) -> None:
    with Store(folder / "runs").use.hold(SHARED):
        _, err = out_of("runs", "prune", cwd=folder, code=4)
    assert "another command works in this folder" in err
    assert weights(folder)


def test_a_damaged_byte_of_a_pruned_stage_is_told(folder: Path) -> None:
    store = Store(folder / "runs")
    prune(store, ["night"], "scores", dry_run=False)
    [row] = [row for row in open_run(store, "night").record.rows if row.name == "dpo"]
    assert row.policy is not None
    path = store.stage("policy", row.policy).path / "train.jsonl"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StorageError, match=r"train\.jsonl: content changed"):
        _ = Store(folder / "runs").stage("policy", row.policy).done


def test_pruned_weights_are_told_with_the_mend(folder: Path) -> None:
    out_of("runs", "prune", cwd=folder)
    _, err = out_of("runs", "path", "night", "--row", "ropo", cwd=folder, code=4)
    assert "pruned to free the disk; delete the folder" in err


def test_gc_removes_what_no_run_names_and_what_dead_processes_left(folder: Path) -> None:
    store = Store(folder / "runs")
    named = weights(folder)
    orphan = store.stage("policy", "f" * 64)
    with orphan.begin():
        (orphan.path / "policy").mkdir()
        (orphan.path / "policy" / "w").write_text("weights")
        orphan.finish({})
    begun = store.stage("policy", "e" * 64)
    with begun.begin():
        (begun.path / "checkpoint.safetensors").write_text("a state")
    dead = store.stage("merged", "d" * 64).path / ".tmp-999999999-model"
    dead.mkdir(parents=True)
    beside = folder / "runs" / "night" / ".tmp-999999999-run.json"
    beside.write_text("half")
    assert {Path(item.path) for item in collect_garbage(store, dry_run=True)} == {orphan.path, dead}
    assert orphan.path.exists()
    for path, age in ((beside, TEMPORARY_SECONDS), (begun.path, UNFINISHED_SECONDS)):
        for item in (path, *path.glob("*")):
            os.utime(item, (0, item.stat().st_mtime - age - 1))
    collect_garbage(store, dry_run=False)
    assert not any(path.exists() for path in (orphan.path, begun.path, dead, beside))
    assert weights(folder) == named


def test_what_an_unfinished_run_may_be_on_its_way_to_is_no_garbage(folder: Path) -> None:
    store = Store(folder / "runs")
    record = open_run(store, "night").record
    rows = [row.model_copy(update={"policy": None, "merged": None, "state": "pending"}) for row in record.rows]
    bare = [row.model_copy(update={"training": None}) for row in rows]
    store.write_run("night", record.model_copy(update={"rows": bare, "complete": False}).model_dump())
    assert collect_garbage(store, dry_run=True) == []
    store.write_run("night", record.model_copy(update={"rows": bare}).model_dump())
    with store.use.hold(ALONE) as alone:
        assert alone
        assert {Path(item.path).parent.name for item in collect_garbage(store, dry_run=False)} == {"policy", "merged"}


def test_runs_are_listed_shown_watched_renamed_and_removed(folder: Path) -> None:
    [line] = json.loads(out_of("runs", "list", "--json", cwd=folder)[0])["runs"]
    assert (line["name"], line["suite"], line["rows_done"], line["rows"]) == ("night", "tiny", 3, 3)
    assert line["state"] == "done"
    assert line["own_bytes"] > 0 == line["shared_bytes"]
    shown = json.loads(out_of("runs", "show", "night", "--json", cwd=folder)[0])
    assert {stage["state"] for row in shown["rows"] for stage in row["stages"]} == {"done"}
    status = json.loads(out_of("runs", "status", "night", "--json", cwd=folder)[0])
    assert (status["under_way"], status["usd"]) == (None, 0)
    for command in ("list", "show night", "status night"):
        assert "night" in out_of("runs", *command.split(), cwd=folder)[0] or command.startswith("show")
    path = out_of("runs", "path", "night", "--row", "ropo", cwd=folder)[0].strip()
    assert (Path(folder, path) / "config.json").is_file()
    out_of("runs", "rename", "night", "day", cwd=folder)
    out_of("runs", "path", "night", "--row", "ropo", cwd=folder, code=2)
    out_of("runs", "rm", "day", cwd=folder)
    assert json.loads(out_of("runs", "list", "--json", cwd=folder)[0])["runs"] == []
    assert weights(folder)
    out_of("runs", "gc", cwd=folder)
    assert weights(folder) == []
