"""The whole way in real processes: once, again, killed at any moment, with a method that fails."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_suite
from tests.forked import ROOT, Process, python


def ropo_bench(*arguments: str, cwd: Path) -> Process:
    """The command in a process of its own, forked warm."""
    return python("from ropo_bench.commands.app import main; main()", *arguments, cwd=cwd)


def fresh_ropo_bench(*arguments: str, cwd: Path) -> Process:
    """The command as a user starts it, seconds of imports and all."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ropo_bench", *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process: Process) -> tuple[int | None, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def rows(out: str) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(out)["rows"]}


@pytest.fixture(scope="module")
def suite(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_suite.write(tmp_path_factory.mktemp("suite"), base_folder)


@pytest.fixture(scope="module")
def finished(suite: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run of two methods: its folder and its table as JSON."""
    folder = tmp_path_factory.mktemp("finished")
    code, out, err = finish(fresh_ropo_bench("run", "--methods", "ropo,dpo", *suite, "--json", cwd=folder))
    assert code == 0, err
    return folder, out


def stage_times(folder: Path) -> dict[str, int]:
    manifests = (folder / "runs" / "cache").glob("*/*/manifest.json")
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in manifests}


def test_a_run_goes_the_whole_way(finished: tuple[Path, str]) -> None:
    found = rows(finished[1])
    assert list(found) == ["SFT", "ropo", "dpo"]
    assert found["ropo"]["trainable_params"] < found["dpo"]["trainable_params"]
    for row in found.values():
        assert row["state"] == "done"


def test_a_repeated_run_does_no_work_and_prints_the_same(finished: tuple[Path, str], suite: list[str]) -> None:
    folder, out = finished
    before = stage_times(folder)
    code, again, err = finish(ropo_bench("run", "--methods", "ropo,dpo", *suite, "--json", cwd=folder))
    assert code == 0, err
    assert json.loads(again) == json.loads(out)
    assert stage_times(folder) == before


def test_adding_a_method_trains_only_it(finished: tuple[Path, str], suite: list[str]) -> None:
    folder, out = finished
    before = stage_times(folder)
    code, more, err = finish(ropo_bench("run", "--methods", "ropo,dpo,ropo-mirror", *suite, "--json", cwd=folder))
    assert code == 0, err
    new = [path.split("/")[2] for path in stage_times(folder).keys() - before.keys()]
    assert sorted(set(new)) == ["compared", "completions", "measured", "merged", "policy", "scores"]
    assert new.count("policy") == 1
    assert rows(more)["dpo"] == rows(out)["dpo"]


def test_a_row_of_two_is_named_as_typed_and_trains_what_is_not_there(
    finished: tuple[Path, str], suite: list[str]
) -> None:
    folder, _ = finished
    before = stage_times(folder)
    command = ropo_bench("run", "--methods", "dpo+ropo,simpo+ropo", *suite, "--json", cwd=folder)
    code, out, err = finish(command)
    assert code == 0, err
    assert list(rows(out)) == ["SFT", "dpo+ropo", "simpo+ropo"]
    made = [path for path in stage_times(folder) if path not in before]
    assert len([path for path in made if "/policy/" in path]) == 1  # dpo's loss with ropo's adapter is ropo
    assert not any("/reference/" in path for path in made)


def num_files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder / "runs"))


@pytest.mark.slow
def test_kill_9_at_any_moment_changes_no_number(finished: tuple[Path, str], suite: list[str], tmp_path: Path) -> None:
    command = ["run", "--methods", "ropo,dpo", *suite, "--json"]
    total = num_files(finished[0])
    rng = random.Random(0)
    kills = 0
    for share in (0.1, 0.25, 0.4, 0.55, 0.7, 0.85):
        process = ropo_bench(*command, cwd=tmp_path)
        while process.poll() is None and num_files(tmp_path) < share * total:
            time.sleep(rng.uniform(0.0, 0.01))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert kills >= 3, "too few processes were killed while they ran"
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err

    def numbers(text: str) -> dict[str, Any]:
        return {name: row["cells"] for name, row in rows(text).items()}

    assert numbers(out) == numbers(finished[1])


def test_a_failing_method_stops_alone(suite: list[str], finished: tuple[Path, str]) -> None:
    folder, _ = finished
    options = ["--methods", "ropo,dpo", *suite, "--set", "dpo.train.lr=1e30", "--json"]
    code, out, err = finish(ropo_bench("run", *options, cwd=folder))
    assert code == 4, err
    assert "step" in rows(out)["dpo"]["state"]
    assert rows(out)["ropo"]["state"] == "done"
    assert "1 of 3 rows are not done" in err


def test_a_model_trained_elsewhere_stands_beside(finished: tuple[Path, str], suite: list[str]) -> None:
    folder, out = finished
    manifests = {
        path: json.loads(path.read_text()) for path in (folder / "runs/cache/policy").glob("*/manifest.json")
    }
    policy = next(path.parent / "policy" for path, m in manifests.items() if m["content"]["method"] == "ropo")
    assert str(ROOT) not in (policy / "adapter_config.json").read_text()
    command = ["eval", str(policy), "--name", "mine", *suite, "--json"]
    code, found, err = finish(ropo_bench(*command, cwd=folder))
    assert code == 0, err
    assert rows(found)["mine"]["cells"] == rows(out)["ropo"]["cells"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--methods", "rpoo"], 2, ["rpoo", "did you mean", "ropo"]),
        (["--data", "nothing.jsonl"], 2, ["nothing.jsonl"]),
        (["--base", "./nothing"], 2, ["nothing", "no such folder"]),
        (["--set", "train.lrr=1"], 2, ["train.lrr", "train.lr"]),
        (["--checkpoint", "mine"], 2, ["NAME="]),
        (["--seeds", "0"], 2, []),
    ],
)
def test_bad_input_is_one_clear_line(
    suite: list[str], tmp_path: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    found, _, err = finish(ropo_bench("run", *suite, *arguments, cwd=tmp_path))
    assert found == code
    line = err.strip().splitlines()[-1]
    assert all(word in line for word in words), err
    assert "Traceback" not in err


def test_an_unwritable_runs_folder(suite: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = finish(ropo_bench("run", *suite, "--runs", "file/runs", cwd=tmp_path))
    assert code == 4, err
    assert "--runs" in err
    assert "Traceback" not in err


def test_an_interrupt_exits_130_and_says_that_it_can_go_on(suite: list[str], tmp_path: Path) -> None:
    process = ropo_bench("run", *suite, cwd=tmp_path)
    while not num_files(tmp_path):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert err.strip().splitlines()[-1].startswith("interrupted: ")


def test_what_would_fail_late_is_found_before_anything_is_made(suite: list[str], tmp_path: Path) -> None:
    options = ["--methods", "ropo,dpo", *suite, "--set", "ropo.adapter.target_modules=[qq_proj]"]
    code, _, err = finish(ropo_bench("run", *options, cwd=tmp_path))
    assert code == 2
    assert "qq_proj" in err.splitlines()[-1]
    assert not list((tmp_path / "runs").glob("cache/completions/*"))
