"""Ctrl-C while a judge is asked: the command ends at once, nothing counts as failed, nothing paid is lost."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from ropo_bench.judging.ledger import Budget
from ropo_bench.judging.runtime import answer_calls
from tests.forked import Process
from tests.judging.asking import calls, events, expected, recipe, row, start, write_lines
from tests.judging.judge_server import JudgeServer
from tests.test_pipeline import ropo_bench

NUM_BATTLES = 150
JUDGE = """description: a server on loopback
model: judge-1
base_url: {url}
key_env: null
"""
SECONDS = 2.0
# As the commands do it: a handler that raises.
ASK_AS_A_COMMAND = """
import signal, sys
from pathlib import Path
from ropo_bench.commands import app as cli
from ropo_bench.judging.ledger import Budget
from ropo_bench.judging.runtime import answer_calls
from tests.judging.asking import calls, recipe

def app(**_settings):
    print("asking", flush=True)
    answer_calls(recipe(sys.argv[1]), calls(400), Path(sys.argv[2]), Budget())

cli.app = app
cli.main()
"""


def calibrate(folder: Path, url: str) -> Process:
    """`judge calibrate`, started."""
    write_lines(folder / "people.jsonl", *(row(i, "a") for i in range(NUM_BATTLES)))
    (folder / "judge.yaml").write_text(JUDGE.format(url=url))
    return ropo_bench("judge", "calibrate", "people.jsonl", "--judge", "judge.yaml", "--json", cwd=folder)


@pytest.mark.parametrize("moment", range(6))
def test_ctrl_c_at_any_moment_ends_within_two_seconds(tmp_path: Path, moment: int) -> None:
    draws = random.Random(moment)
    with JudgeServer(latency=draws.choice([0.02, 0.3, 30.0])) as server:
        process = start(ASK_AS_A_COMMAND, server.url, tmp_path)
        assert process.stdout is not None
        process.stdout.readline()
        while not server.counts.sent:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        time.sleep(draws.uniform(0, 0.25))
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
        took = time.monotonic() - began
        assert process.returncode == 130, error
        assert took < SECONDS, took
        assert error.splitlines()[-1].startswith("interrupted: ")
        assert "Traceback" not in error
        assert not events(tmp_path)["failed"]
        sent = server.counts.sent.total()
        time.sleep(0.1)
        assert server.counts.sent.total() == sent < 400
        server.latency = 0.0
        judge = recipe(server.url)
        outcome = answer_calls(judge, calls(400), tmp_path, Budget())
        assert not outcome.failed
        assert {item: answer.text for item, answer in outcome.answers.items()} == expected(judge, calls(400))


def test_an_interrupted_calibration_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    (tmp_path / "undisturbed").mkdir()
    (tmp_path / "disturbed").mkdir()
    with JudgeServer() as server:
        process = calibrate(tmp_path / "undisturbed", server.url)
        undisturbed = process.communicate(timeout=60)[0]
        assert process.returncode == 0
    with JudgeServer(latency=0.2) as server:
        process = calibrate(tmp_path / "disturbed", server.url)
        while server.counts.sent.total() < 20:
            assert process.poll() is None
            time.sleep(0.005)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
        assert process.returncode == 130, error
        assert time.monotonic() - began < SECONDS
        server.latency = 0.0
        process = calibrate(tmp_path / "disturbed", server.url)
        disturbed, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        assert server.counts.answered_then_asked.total() == 0

    def numbers(text: str) -> list[str]:
        return [line for line in text.splitlines() if "requests sent" not in line]

    assert numbers(disturbed) == numbers(undisturbed)


def test_a_second_ctrl_c_changes_nothing(tmp_path: Path) -> None:
    with JudgeServer(latency=30.0) as server:
        process = start(ASK_AS_A_COMMAND, server.url, tmp_path)
        while not server.counts.sent:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        _, error = process.communicate(timeout=20)
    assert process.returncode == 130, error
    assert "Traceback" not in error
