"""Ctrl-C at any moment: exit 130 within two seconds, and the next command has an undisturbed run's numbers.

ROPO_BENCH_INTERRUPTS=N tries N moments of every stage (default: one moment of three).
"""

from __future__ import annotations

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
from tests.forked import Process
from tests.test_pipeline import finish, fresh_ropo_bench, ropo_bench, rows

MOMENTS = int(os.environ.get("ROPO_BENCH_INTERRUPTS", "1"))
STAGES = ("pairs", "reference", "policy", "merged", "completions", "scores", "measured")
START = "start"  # of the process: imports, and what is looked at before the first stage
TRIED = (START, *STAGES) if "ROPO_BENCH_INTERRUPTS" in os.environ else (START, "policy", "completions")
SECONDS = 2.0
SLACK = 1.0  # the tests share their cores: a process that is to end may wait for one


@pytest.fixture(scope="module")
def suite(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return tiny_suite.write(tmp_path_factory.mktemp("suite"), base_folder)


@pytest.fixture(scope="module")
def undisturbed(
    suite: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, float], dict[str, Any]]:
    """Of a whole run in a process of its own: the longest time that a folder of each stage took, and the numbers."""
    folder, began = tmp_path_factory.mktemp("undisturbed"), time.time()
    code, out, err = finish(fresh_ropo_bench("run", "--methods", "ropo,dpo", *suite, "--json", cwd=folder))
    assert code == 0, err
    seconds = {stage: max(map(seconds_of, (folder / "runs").glob(f"cache/{stage}/*"))) for stage in STAGES}
    first = min(path.stat().st_mtime for path in (folder / "runs" / "cache" / "locks").iterdir())
    return {START: first - began, **seconds}, numbers(out)


def seconds_of(stage: Path) -> float:
    """From a stage's lock, which is the first that is there of it, to its manifest, the last."""
    lock = stage.parents[1] / "locks" / f"{stage.parent.name}-{stage.name}"
    return (stage / "manifest.json").stat().st_mtime - lock.stat().st_mtime


def numbers(out: str) -> dict[str, Any]:
    """Row -> its cells: everything but what depends on the clock."""
    return {name: row["cells"] for name, row in rows(out).items()}


def interrupt(process: Process, number: signal.Signals = signal.SIGINT) -> tuple[int | None, str, float]:
    """Exit code, standard error, and seconds from the signal to the end."""
    process.send_signal(number)
    began = time.monotonic()
    code, _, err = finish(process)
    return code, err, time.monotonic() - began


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("stage", TRIED)
@pytest.mark.slow
def test_an_interrupt_at_any_moment_of_a_stage_changes_no_number(
    stage: str, suite: list[str], undisturbed: tuple[dict[str, float], dict[str, Any]], tmp_path: Path
) -> None:
    whole, expected = undisturbed
    chance = random.Random(stage)
    command = ["run", "--methods", "ropo,dpo", *suite, "--json"]
    for attempt in range(MOMENTS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        if stage == START:
            process: Process = fresh_ropo_bench(*command, cwd=folder)
            time.sleep(0.5)  # Python itself starts
        else:
            process = ropo_bench(*command, cwd=folder)
            wait_for(folder, f"cache/{stage}/*")
        time.sleep(chance.random() * whole[stage])
        code, err, seconds = interrupt(process)
        assert code in (130, 0), err
        assert seconds < SECONDS + SLACK
        assert "Traceback" not in err
        assert code == 0 or "the same command goes on from there" in err.splitlines()[-1]
        code, out, err = finish(ropo_bench(*command, cwd=folder))
        assert code == 0, err
        assert numbers(out) == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_have_their_own_code(
    suite: list[str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = ropo_bench("run", "--methods", "dpo", *suite, "--set", "train.epochs=4000", cwd=tmp_path)
    wait_for(tmp_path, "cache/policy/*/checkpoint*")
    found, err, seconds = interrupt(process, number)
    assert (found, "goes on from there" in err) == (code, True)
    assert seconds < SECONDS + SLACK


@pytest.mark.slow
def test_a_team_ends_as_soon(suite: list[str], tmp_path: Path) -> None:
    # Without a reference pass, which would be another team's.
    command = ["run", "--methods", "simpo", *suite, "--set", "train.epochs=4000", "--processes", "2"]
    process = ropo_bench(*command, cwd=tmp_path)
    wait_for(tmp_path, "cache/policy/*/checkpoint*")
    code, err, seconds = interrupt(process)
    assert code == 130, err
    assert seconds < SECONDS + SLACK


def wait_for(folder: Path, pattern: str) -> None:
    for _ in range(6000):
        if list((folder / "runs").glob(pattern)):
            return
        time.sleep(0.01)
    raise AssertionError(f"{pattern} did not appear")


DEAF = """
import sys, time
from ropo_bench.errors.signals import watch_signals
watch_signals()
until = time.monotonic() + 30
def deaf():
    while time.monotonic() < until:
        try:
            time.sleep(0.01)
        except BaseException:  # an import, a callback or a destructor that swallows everything
            pass
try:
    print("ready", flush=True)
    deaf()
except BaseException:  # raised before the first sleep or between two
    deaf()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_work_that_does_not_hear_is_ended(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    code, err, seconds = interrupt(process, number)
    assert code == 128 + number
    assert seconds < SECONDS + SLACK
    assert err.count("\n") == 1
    assert "goes on from there" in err


def test_a_signal_to_a_forked_child_does_not_end_its_parent() -> None:
    script = (
        "import os, signal, time\nfrom ropo_bench.errors.signals import watch_signals\nwatch_signals()\n"
        "child = os.fork()\n"
        "if child == 0:\n    time.sleep(30)\n"
        "time.sleep(0.2)\nos.kill(child, signal.SIGTERM)\n"
        "assert os.waitpid(child, 0)[1] == signal.SIGTERM\ntime.sleep(2)\n"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=False).returncode == 0


def test_a_signal_to_the_interpreter_s_end_does_not_change_the_code() -> None:
    script = (
        "import atexit, os, signal\nfrom ropo_bench.errors.streams import leave\n"
        "from ropo_bench.errors.signals import watch_signals\nwatch_signals()\n"
        "class Last:\n    def __del__(self): os.kill(os.getpid(), signal.SIGINT)\n"
        "last = Last()\nlast.itself = last\nleave(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")
