"""`judge calibrate` against a real server: what it asks, counts, spends and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ropo_bench.commands.judge import app
from ropo_bench.errors import BudgetReached, UsageError
from tests.judging.asking import row, write_lines
from tests.judging.judge_answers import Body, Response, error_body
from tests.judging.judge_server import JudgeServer

SIDES = {"a": 1.0, "b": 0.0, "tie": 0.5}


def invoke(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["calibrate", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == code
    (found,) = json.loads(result.stdout.splitlines()[-1])["rows"]
    return dict(found)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """40 verdicts: every fifth is for the shorter answer."""
    return write_lines(tmp_path / "people.jsonl", *[row(i, "b" if i % 5 == 0 else "a") for i in range(40)])


def likes_length(body: Body) -> str:
    """A judge of alpaca_eval's question, in letters: the longer of the answers that it is shown."""
    text = "\n".join(str(message["content"]) for message in body["messages"])
    return "m" if text.index("first answer to") < text.index("second one") else "M"


def recipe(tmp_path: Path, url: str, **more: Any) -> str:
    path = tmp_path / "mine.yaml"
    values = {"description": "mine", "model": "m", "base_url": url, "key_env": None, "logprobs": False, **more}
    path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items()), encoding="utf-8")
    return str(path)


def test_the_command_asks_a_real_server_once_and_reports(people: Path, tmp_path: Path) -> None:
    with JudgeServer(text=likes_length) as server:
        arguments = [str(people), "--judge", recipe(tmp_path, server.url), "--runs", str(tmp_path / "runs")]
        found = invoke(*arguments)
        again = invoke(*arguments)
        assert server.counts.sent.total() == 80  # 40 battles in both orders, and nothing the second time
    assert (found["n"], found["n_missing"], found["n_unparsable"], found["n_failed"]) == (40, 0, 0, 0)
    metrics = found["metrics"]
    assert again["metrics"] == metrics
    assert found["model"] == "mine"
    assert metrics["accuracy"]["value"] == 80  # a is the longer one, and people take b in every fifth
    assert metrics["position_bias"] == {"value": 0, "n": 80, "n_unscored": 0, "standard_error": 0}
    assert metrics["longer_share"]["value"] == 100
    assert metrics["reference_longer_share"]["value"] == 80


def test_the_command_finds_a_judge_that_says_m_whatever_it_is_shown(people: Path, tmp_path: Path) -> None:
    with JudgeServer(text=lambda body: "m") as server:
        judge = recipe(tmp_path, server.url)
        metrics = invoke(str(people), "--judge", judge, "--runs", str(tmp_path / "runs"))["metrics"]
    assert metrics["position_bias"]["value"] == 100
    assert metrics["accuracy"]["value"] == 0  # every battle is a tie
    assert (metrics["accuracy_non_ties"]["value"], metrics["accuracy_non_ties"]["n"]) == (None, 0)


def test_the_command_counts_words_without_a_verdict_and_calls_without_an_answer_apart(
    people: Path, tmp_path: Path
) -> None:
    def refuse(body: Body, headers: dict[str, str]) -> Response | None:
        text = str(body["messages"])
        return (400, {}, error_body("too long for me")) if "q7" in text else None

    with JudgeServer(text=lambda body: "neither" if "q3" in str(body["messages"]) else "m", respond=refuse) as server:
        arguments = [str(people), "--judge", recipe(tmp_path, server.url), "--runs", str(tmp_path / "runs")]
        found = invoke(*arguments, code=4)
    # q3 and q30 to q39, both orders, have no verdict; q7 no answer.
    assert (found["n_unparsable"], found["n_failed"]) == (22, 2)
    accuracy = found["metrics"]["accuracy"]
    assert (accuracy["n"], accuracy["n_unscored"]) == (28, 12)


def test_the_command_keeps_its_budget(people: Path, tmp_path: Path) -> None:
    with JudgeServer(text=likes_length) as server:
        arguments = [str(people), "--judge", recipe(tmp_path, server.url), "--runs", str(tmp_path / "runs")]
        with pytest.raises(BudgetReached):
            invoke(*arguments, "--budget-calls", "30")
        assert server.counts.sent.total() == 30
        assert invoke(*arguments, "--budget-calls", "50")["metrics"]["accuracy"]["n"] == 40
        assert server.counts.sent.total() == 80


def test_the_command_compares_two_files(people: Path, tmp_path: Path) -> None:
    other = write_lines(tmp_path / "other.jsonl", *[row(i, "a") for i in range(30)], row(99, "b"))
    found = invoke(str(people), "--against", str(other))
    assert (found["n"], found["n_missing"]) == (30, 10)
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(80)
    assert found["metrics"]["position_bias"]["value"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --judge NAME or --against FILE"),
        (["--judge", "pocket"], "an exact function grades its own prompts only"),
        (["--judge", "gpt-4.1", "--task", "mt-bench"], "does not ask which of two answers is better"),
        (["--against", "{other}"], "none of its 40 battles is in other.jsonl"),
    ],
)
def test_a_mistake_of_the_command_is_one_line(
    arguments: list[str], message: str, people: Path, tmp_path: Path
) -> None:
    other = write_lines(tmp_path / "other.jsonl", row(99, "b"))
    given = [argument.format(other=other) for argument in arguments]
    with pytest.raises(UsageError, match=message):
        invoke(str(people), *given)
