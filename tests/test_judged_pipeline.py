"""The whole way with a judge: a real server on loopback, asked by real commands."""

from __future__ import annotations

import json
import math
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_suite
from tests.judging.judge_answers import Body, Response, error_body
from tests.judging.judge_server import JudgeServer
from tests.test_pipeline import finish, ropo_bench, rows

KEY_ENV = "ROPO_BENCH_TEST_KEY"
KEY = "sk-marked-5d0c6e1fa7"
NUM_PROMPTS, NUM_CANARY_CALLS = 6, 6 * 7
METRIC = ("tiny-judged", "win_rate")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setenv(KEY_ENV, KEY)
    with JudgeServer() as running:
        yield running


@pytest.fixture(scope="module")
def trained(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where everything but the judging is done, for two methods."""
    folder = tmp_path_factory.mktemp("trained")
    with JudgeServer() as never_asked, pytest.MonkeyPatch.context() as environment:
        environment.setenv(KEY_ENV, KEY)
        options = tiny_suite.write_judged(folder / "suite", base_folder, never_asked.url, KEY_ENV)
        command = ["run", "--methods", "ropo,dpo", *options, "--no-canaries", "--budget-calls", "0"]
        code, _, err = finish(ropo_bench(*command, cwd=folder))
        assert code == 5, err
        assert not never_asked.counts.sent
    return folder


@pytest.fixture
def untrained(server: JudgeServer, base_folder: Path, tmp_path: Path) -> list[str]:
    """The suite's options where nothing is made yet."""
    return tiny_suite.write_judged(tmp_path / "suite", base_folder, server.url, KEY_ENV)


@pytest.fixture
def options(untrained: list[str], trained: Path, tmp_path: Path) -> list[str]:
    """The suite's options where only the judging is left."""
    shutil.copytree(trained / "runs" / "cache", tmp_path / "runs" / "cache")
    return untrained


def cell(out: str, row: str) -> dict[str, Any]:
    found = [c for c in rows(out)[row]["cells"] if (c["task"], c["metric"]) == METRIC]
    return dict(found[0])


def test_a_judged_run_asks_once_scores_all_and_keeps_the_key_to_itself(
    server: JudgeServer, untrained: list[str], tmp_path: Path
) -> None:
    code, out, err = finish(ropo_bench("run", "--methods", "ropo", *untrained, "--json", cwd=tmp_path))
    assert code == 0, err
    assert [row["state"] for row in rows(out).values()] == ["done", "done"]
    assert (cell(out, "ropo")["n"], cell(out, "ropo")["n_unscored"]) == (NUM_PROMPTS, 0)
    controlled = {c["metric"] for c in rows(out)["ropo"]["cells"] if c["metric"].startswith("lc_")}
    assert controlled == {"lc_win_rate_nodiff"}  # prompts of one's own, without difficulties
    assert server.counts.sent.total() == len(server.counts.sent) <= 2 * NUM_PROMPTS + NUM_CANARY_CALLS
    sent = server.counts.sent.total()
    assert finish(ropo_bench("run", "--methods", "ropo", *untrained, "--json", cwd=tmp_path))[1] == out
    assert server.counts.sent.total() == sent
    written = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert any(path.name == "answers.jsonl" for path in written)
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    assert KEY not in out + err


def test_the_win_rate_is_the_mean_of_the_judges_preferences(
    server: JudgeServer, options: list[str], tmp_path: Path
) -> None:
    code, out, err = finish(ropo_bench("run", "--methods", "ropo", *options, "--no-canaries", "--json", cwd=tmp_path))
    assert code == 0, err
    assert "unchecked" in " ".join(json.loads(out)["notes"])
    scores = tmp_path.glob("runs/cache/scores/*/scores.jsonl")
    records = [json.loads(line) for path in scores for line in path.read_text().splitlines()]
    wins = [record["value"] for record in records if record["metric"] == "win_rate"]
    shown = [cell(out, row)["value"] for row in rows(out)]
    assert len(wins) == 2 * NUM_PROMPTS
    assert math.isclose(sum(wins) / NUM_PROMPTS, sum(shown))
    assert len(set(wins)) > 1


def test_exported_annotations_score_the_same(server: JudgeServer, options: list[str], tmp_path: Path) -> None:
    code, out, err = finish(ropo_bench("run", "--methods", "ropo", *options, "--no-canaries", "--json", cwd=tmp_path))
    assert code == 0, err
    code, paths, err = finish(ropo_bench("export", "out", cwd=tmp_path))
    assert code == 0, err
    annotations = tmp_path / "out" / "tiny-judged" / "ropo" / "annotations.json"
    assert str(annotations.relative_to(tmp_path)) in paths
    found = [(record["generator_2"], record["preference"]) for record in json.loads(annotations.read_text())]
    assert {name for name, _ in found} == {"ropo"}
    assert math.isclose(100 * sum(value - 1 for _, value in found) / NUM_PROMPTS, cell(out, "ropo")["value"])
    leaderboard = (tmp_path / "out" / "tiny-judged" / "leaderboard.csv").read_text()
    assert {line.split(",")[0] for line in leaderboard.splitlines()[1:]} == {"SFT", "ropo"}


def test_a_missing_key_stops_before_anything_is_trained(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_ENV, raising=False)
    options = tiny_suite.write_judged(tmp_path / "suite", base_folder, "https://judge.invalid/v1", KEY_ENV)
    code, _, err = finish(ropo_bench("run", "--methods", "ropo", *options, cwd=tmp_path))
    assert code == 2
    assert KEY_ENV in err
    assert "--judge" in err
    assert not list(tmp_path.glob("runs/cache/policy/*/trained.json"))


def test_the_budget_ends_a_run_and_the_same_command_goes_on(
    server: JudgeServer, options: list[str], tmp_path: Path
) -> None:
    command = ["run", "--methods", "ropo", *options, "--no-canaries", "--json"]
    code, out, err = finish(ropo_bench(*command, "--budget-calls", "8", cwd=tmp_path))
    assert code == 5, err
    assert server.counts.sent.total() == 8
    assert rows(out)["SFT"]["state"] == "done"
    assert rows(out)["ropo"]["state"] == "pending"
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err
    assert server.counts.sent.total() == len(server.counts.sent) <= 2 * NUM_PROMPTS
    assert not server.counts.answered_then_asked.total()


def test_what_is_answered_before_a_kill_9_is_not_asked_again(
    server: JudgeServer, options: list[str], tmp_path: Path
) -> None:
    def kept() -> int:
        return sum(len(path.read_bytes().splitlines()) for path in tmp_path.glob("runs/**/answers.jsonl"))

    command = ["run", "--methods", "ropo", *options, "--json"]
    server.latency = 0.5
    for wanted in (1, 9):
        process = ropo_bench(*command, cwd=tmp_path)
        while kept() < wanted and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        finish(process)
        assert process.returncode == -signal.SIGKILL
        time.sleep(2 * server.latency)  # what was on its way has come
    server.latency = 0.0
    sent, answered = server.counts.sent.total(), kept()
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err
    assert (cell(out, "ropo")["n"], cell(out, "ropo")["n_unscored"]) == (NUM_PROMPTS, 0)
    assert server.counts.sent.total() - sent == kept() - answered


def test_what_the_judge_never_answered_is_not_a_score_and_is_tried_again(
    server: JudgeServer, options: list[str], tmp_path: Path
) -> None:
    broken = True

    def respond(body: Body, headers: dict[str, str]) -> Response | None:
        fails = broken and "number 3." in str(body["messages"])
        return (500, {}, error_body("out of order")) if fails else None

    server.respond = respond
    command = ["run", "--methods", "ropo", *options, "--no-canaries", "--json"]
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 4, err
    assert (cell(out, "ropo")["n"], cell(out, "ropo")["n_unscored"]) == (NUM_PROMPTS - 1, 1)
    assert "incomplete" in rows(out)["ropo"]["state"]
    broken = False
    before = server.counts.sent.total()
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err
    assert (cell(out, "ropo")["n"], cell(out, "ropo")["n_unscored"]) == (NUM_PROMPTS, 0)
    assert server.counts.sent.total() == before + 2


def test_a_retry_that_is_stopped_takes_nothing_away(server: JudgeServer, options: list[str], tmp_path: Path) -> None:
    server.respond = lambda body, headers: (500, {}, error_body("out of order"))
    command = ["run", "--methods", "ropo", *options, "--no-canaries", "--json"]
    code, before, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 4, err
    server.respond = None
    assert finish(ropo_bench(*command, "--budget-calls", "0", cwd=tmp_path))[0] == 5
    code, out, err = finish(ropo_bench("table", "--format", "json", cwd=tmp_path))
    assert code == 0, err
    assert cell(out, "SFT") == cell(before, "SFT")


def test_canaries_that_were_not_answered_are_asked_again(
    server: JudgeServer, options: list[str], tmp_path: Path
) -> None:
    server.respond = lambda body, headers: (500, {}, error_body("out of order"))
    command = ["run", "--methods", "ropo", *options]
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 4, err
    assert "constant unchecked (0 of 6 readable)" in out
    server.respond = None
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err
    assert "constant unchecked" not in out
    assert "US dollars" in out


def test_two_runs_share_a_judge_one_after_the_other(server: JudgeServer, options: list[str], tmp_path: Path) -> None:
    server.latency = 0.2
    command = ["run", *options, "--no-canaries", "--json"]
    both = [ropo_bench(*command, "--methods", method, cwd=tmp_path) for method in ("ropo", "dpo")]
    ended = [finish(process) for process in both]
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert not server.counts.answered_then_asked.total()


def test_a_biased_judge_is_shown_with_the_size_of_its_bias(
    server: JudgeServer, options: list[str], tmp_path: Path
) -> None:
    server.text = lambda body: "m"
    code, _, err = finish(ropo_bench("run", "--methods", "ropo", *options, "--json", cwd=tmp_path))
    assert code == 0, err
    code, out, err = finish(ropo_bench("table", cwd=tmp_path))
    assert code == 0, err
    assert "WR % † ↑" in out
    assert "swap FAILED" in out


def test_an_exact_function_judges_without_a_call(server: JudgeServer, options: list[str], tmp_path: Path) -> None:
    judge = tmp_path / "exact.yaml"
    judge.write_text("description: by letters\nkind: function\nmodel: tests.tiny_suite:grade_turns\nkey_env: null\n")
    command = ["run", "--methods", "ropo", *options, "--judge", str(judge), "--json"]
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err
    assert server.counts.sent.total() == 0
    # Without log-probabilities there is no weighted preference, and no such column.
    shown = {metric for c in rows(out)["ropo"]["cells"] if (metric := c["metric"]) and c["value"] is not None}
    assert "win_rate_discrete" in shown
    assert not shown & {"win_rate", "lc_win_rate", "lc_win_rate_nodiff"}
    scores = [json.loads(line) for path in tmp_path.glob("runs/cache/scores/*/scores.jsonl") for line in path.open()]
    assert {score["metric"] for score in scores} >= {"win_rate_discrete"}
