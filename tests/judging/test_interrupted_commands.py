"""Ctrl-C in the commands that judge on their way: canaries, verdicts, the doctor's one question."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_suite
from tests.forked import Process
from tests.judging.judge_server import JudgeServer
from tests.test_pipeline import finish, ropo_bench

KEY_ENV = "ROPO_BENCH_TEST_KEY"
SECONDS = 2.0


def evaluate(base: Path, folder: Path, url: str) -> Process:
    """`eval` of the base model by the judged task of the tiny suite, canaries first."""
    options = ["--suite", "tiny", "--include", "suite", "--tasks", "tiny-judged"]
    if not (folder / "suite").exists():
        tiny_suite.write_judged(folder / "suite", base, url, KEY_ENV)
    return ropo_bench("eval", str(base), "--name", "mine", *options, "--json", cwd=folder)


def cells(out: str) -> dict[str, Any]:
    """The table's numbers by row."""
    return {row["name"]: row["cells"] for row in json.loads(out)["rows"]}


def interrupt(process: Process, server: JudgeServer, sent: int) -> None:
    """Press Ctrl-C once so many requests are sent; the process then ends as it should."""
    while server.counts.sent.total() < sent:
        assert process.poll() is None
        time.sleep(0.005)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130, err
    assert time.monotonic() - began < SECONDS
    assert "Traceback" not in err


def test_an_interrupted_run_ends_with_an_undisturbed_runs_numbers(base_folder: Path, tmp_path: Path) -> None:
    for name in ("undisturbed", "disturbed"):
        (tmp_path / name).mkdir()
    with JudgeServer() as server:
        code, undisturbed, err = finish(evaluate(base_folder, tmp_path / "undisturbed", server.url))
        assert code == 0, err
        total = server.counts.sent.total()
    with JudgeServer(latency=0.3) as server:
        for sent in (1, 36, total - 3):  # at once, in the canaries, in the verdicts
            interrupt(evaluate(base_folder, tmp_path / "disturbed", server.url), server, sent)
        server.latency = 0.0
        code, disturbed, err = finish(evaluate(base_folder, tmp_path / "disturbed", server.url))
        assert code == 0, err
        assert not server.counts.answered_then_asked.total()
        assert server.counts.sent.total() == total
    assert cells(disturbed) == cells(undisturbed)


@pytest.mark.parametrize("latency", [0.0, 30.0])
def test_the_doctors_question_is_interrupted_too(tmp_path: Path, latency: float) -> None:
    with JudgeServer(latency=latency) as server:
        judge = f"description: d\nmodel: judge-1\nbase_url: {server.url}\nkey_env: null\n"
        (tmp_path / "judge.yaml").write_text(judge)
        process = ropo_bench("doctor", "--judge", "judge.yaml", cwd=tmp_path)
        if latency:
            interrupt(process, server, 1)
        else:
            code, out, err = finish(process)
            assert "judge.yaml" not in err
            assert code in (0, 2), err
            assert "answers in" in out
