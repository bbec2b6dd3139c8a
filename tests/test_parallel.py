"""Rows side by side: the numbers of one after another, a failure that stays alone, nothing left behind a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.planning.devices import read_machine
from ropo_bench.planning.machine import Machine
from ropo_bench.planning.parallel import find_slots
from ropo_bench.stages.parallel.crew import WORKER
from tests import tiny_suite
from tests.forked import Process
from tests.judging.judge_server import JudgeServer
from tests.test_judged_pipeline import KEY, KEY_ENV
from tests.test_pipeline import fresh_ropo_bench, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # processes that start fresh, on cores that tests share


def finish(process: Process) -> tuple[int | None, str, str]:
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def suite(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_suite.write(tmp_path_factory.mktemp("suite"), base_folder)


def scores(folder: Path) -> dict[str, Any]:
    """Every score of every stage, and the answers, by the key of their stage."""
    files = [
        *folder.glob("runs/cache/scores/*/scores.jsonl"),
        *folder.glob("runs/cache/completions/*/completions.jsonl"),
    ]
    # Every engine's life has a random name of its own.
    return {str(path.relative_to(folder)): re.sub(r'"engine":"[^"]*"', "", path.read_text()) for path in files}


def test_the_numbers_are_those_of_one_after_another(suite: list[str], tmp_path: Path) -> None:
    tables = {}
    for name, more in (("alone", []), ("beside", ["--parallel", "2"])):
        folder = tmp_path / name
        folder.mkdir()
        process = fresh_ropo_bench(
            "run", "--methods", "ropo,dpo", "--seeds", "2", *suite, *more, "--json", cwd=folder
        )
        code, out, err = finish(process)
        assert code == 0, err
        tables[name] = rows(out)
    assert scores(tmp_path / "alone") == scores(tmp_path / "beside")
    assert tables["alone"].keys() == tables["beside"].keys() == {"SFT", "ropo", "dpo"}
    records = [json.loads(next((tmp_path / name).glob("runs/*/run.json")).read_text()) for name in tables]
    for one, other in zip(*(record["rows"] for record in records), strict=True):
        assert one["state"] == other["state"] == "done"
        for key in ("name", "seed", "policy", "merged", "scores", "completions", "certificate"):
            assert one[key] == other[key]


def workers_in(folder: Path) -> list[int]:
    """Processes of workers that were started in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if WORKER.encode() in path.read_bytes() and os.readlink(path.parent / "cwd") == str(folder):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_killed_command_leaves_no_worker_and_the_same_goes_on(suite: list[str], tmp_path: Path) -> None:
    """It is killed as soon as the record tells of a row that is made while others are not."""
    command = ["run", "--methods", "ropo,dpo", *suite, "--parallel", "2", "--json"]
    process = fresh_ropo_bench(*command, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not rows_in_part(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert rows_in_part(tmp_path)
    assert workers_in(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 10
    while workers_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers_in(tmp_path) == []
    code, out, err = finish(fresh_ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err
    assert set(rows(out)) == {"SFT", "ropo", "dpo"}


def rows_in_part(folder: Path) -> list[str]:
    """Rows whose scores the record of an unfinished run has."""
    paths = list(folder.glob("runs/*/run.json"))
    record = json.loads(paths[0].read_text()) if paths else {"complete": False, "rows": []}
    return [row["name"] for row in record["rows"] if row["scores"] and not record["complete"]]


def test_weights_that_go_are_made_again_where_a_task_wants_them(suite: list[str], tmp_path: Path) -> None:
    """With --keep scores a row's weights go; the same command makes nothing, and a further task both again."""
    command = ["run", "--methods", "ropo", *suite, "--parallel", "2", "--keep", "scores", "--json"]
    code, out, err = finish(fresh_ropo_bench(*command, "--tasks", "tiny-arena", cwd=tmp_path))
    assert code == 0, err
    assert not weights(tmp_path)
    code, again, err = finish(fresh_ropo_bench(*command, "--tasks", "tiny-arena", cwd=tmp_path))
    assert (code, json.loads(again)) == (0, json.loads(out)), err
    assert "train ropo" not in err
    code, more, err = finish(fresh_ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err
    assert "train ropo" in err
    cells = rows(out)["ropo"]["cells"]
    assert [cell for cell in rows(more)["ropo"]["cells"] if cell["task"] == "tiny-arena"] == cells
    assert len(rows(more)["ropo"]["cells"]) > len(cells)
    assert not weights(tmp_path)


def weights(folder: Path) -> list[Path]:
    """Files of weights that a run's rows trained and merged."""
    return [path for stage in ("policy", "merged") for path in folder.glob(f"runs/cache/{stage}/**/*.safetensors")]


def test_a_method_that_fails_stays_alone(suite: list[str], tmp_path: Path) -> None:
    command = ["run", "--methods", "ropo,dpo", "--set", "dpo.train.lr=1e9", *suite, "--parallel", "2", "--json"]
    code, _, err = finish(fresh_ropo_bench(*command, cwd=tmp_path))
    assert code == 4, err
    record = json.loads(next(tmp_path.glob("runs/*/run.json")).read_text())
    states = {row["name"]: row["state"] for row in record["rows"]}
    assert states["ropo"] == states["SFT"] == "done"
    assert states["dpo"].startswith("failed: ")
    assert "dpo seed 0 failed" in err


def test_devices_are_shared_evenly() -> None:
    node = read_machine("8xH100-80G")
    assert find_slots(4, node, {}).devices == [["0", "1"], ["2", "3"], ["4", "5"], ["6", "7"]]
    assert find_slots(8, node, {"CUDA_VISIBLE_DEVICES": "7,6,5,4,3,2,1,0"}).devices[0] == ["7"]
    assert find_slots(3, Machine("CPU", 1, None, None), {}).devices == ()
    with pytest.raises(UsageError, match="--parallel 3"):
        find_slots(3, node, {})


def test_spreads_of_ones_own_are_refused_beside_it(suite: list[str], tmp_path: Path) -> None:
    code, _, err = finish(fresh_ropo_bench("run", *suite, "--parallel", "2", "--processes", "2", cwd=tmp_path))
    assert code == 2
    assert "--parallel" in err


def test_a_budget_holds_for_all_workers_together(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)
    with JudgeServer() as server:
        suite = tiny_suite.write_judged(tmp_path / "suite", base_folder, server.url, KEY_ENV)
        command = ["run", "--methods", "ropo", *suite, "--no-canaries", "--parallel", "2", "--json"]
        code, _, err = finish(fresh_ropo_bench(*command, "--budget-calls", "8", cwd=tmp_path))
        assert code == 5, err
        assert server.counts.sent.total() == 8
        code, out, err = finish(fresh_ropo_bench(*command, "--budget-calls", "4", cwd=tmp_path))
        assert code == 0, err
        assert server.counts.sent.total() == 12  # two rows of six prompts, none asked twice
    assert set(rows(out)) == {"SFT", "ropo"}
