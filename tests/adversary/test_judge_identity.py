"""Which model answered, and on which machine: another model is told or refused, another machine wants a key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.judging.identity import is_loopback, is_same_model
from ropo_bench.judging.ledger import Budget
from ropo_bench.judging.runtime import answer_calls
from ropo_bench.store import JsonLines
from tests.adversary.test_judge_endpoints import whole
from tests.judging.asking import calls, recipe
from tests.judging.judge_answers import Body, Response, completion
from tests.judging.judge_server import JudgeServer


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4", "gpt-4-0613"),
        ("claude", "claude-20250219"),
        ("openai/gpt-4o", "gpt-4o-2024-08-06"),
        ("mine", "/models/mine"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b-instruct"),
    ],
)
def test_names_of_the_same_model(asked: str, answered: str) -> None:
    assert is_same_model(asked, answered)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4", "gpt-4-turbo"),
        ("gpt-4", "gpt-4o"),
        ("gpt-4", "gpt-4-1106-preview"),
        ("gpt-4o", "gpt-4o-mini-2024-07-18"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("llama-3", "llama-3-70b"),
        ("judge-1", ""),
    ],
)
def test_names_of_another_model(asked: str, answered: str) -> None:
    assert not is_same_model(asked, answered)


def test_who_answered_is_counted_and_another_model_is_told(tmp_path: Path) -> None:
    names = iter(["judge-1-2024-08-06", "other", "other"])

    def answer(body: Body, headers: dict[str, str]) -> Response:
        return 200, {}, json.dumps({**completion(body, "m"), "model": next(names)}).encode()

    with JudgeServer(respond=answer) as server:
        judge = recipe(server.url, max_concurrency=1)
        tally = answer_calls(judge, calls(3), tmp_path, Budget()).tally
        assert tally.models == {"judge-1-2024-08-06": 1, "other": 2}
        assert tally.other_models == {"other": 2}
        assert answer_calls(judge, calls(3), tmp_path, Budget()).tally.other_models == {"other": 2}
        strict = judge.model_copy(update={"strict_model": True})
        with pytest.raises(UsageError, match="'judge-1' was asked and 'other' answered"):
            answer_calls(strict, calls(3), tmp_path, Budget())
        assert server.counts.sent.total() == 3


def test_a_strict_judge_asks_no_more_once_another_model_answers(tmp_path: Path) -> None:
    text = whole(model="other").encode()
    with JudgeServer(respond=lambda *_: (200, {}, text)) as server:
        judge = recipe(server.url, max_concurrency=1, strict_model=True)
        with pytest.raises(UsageError, match="'other' answered"):
            answer_calls(judge, calls(50), tmp_path, Budget())
        assert server.counts.sent.total() <= 2
    assert len(list(JsonLines(tmp_path / "answers.jsonl"))) == server.counts.sent.total()  # paid for, and kept


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1/v1", "http://127.9.9.9/v1", "http://localhost/v1", "http://[::1]:8/v1"]
)
def test_an_endpoint_on_this_machine_needs_no_key(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ropo_bench.judging.client import NO_KEY, check_access

    monkeypatch.delenv("JUDGE_TEST_KEY", raising=False)
    judge = recipe(address, key_env="JUDGE_TEST_KEY")
    assert is_loopback(address)
    assert check_access(judge, address) == NO_KEY
    monkeypatch.setenv("JUDGE_TEST_KEY", "a-key")
    assert check_access(judge, address) == "a-key"


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1.evil.test/v1", "http://localhost.evil.test", "https://10.0.0.1"]
)
def test_other_machines_want_one(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ropo_bench.judging.client import check_access

    monkeypatch.delenv("JUDGE_TEST_KEY", raising=False)
    with pytest.raises(UsageError, match="JUDGE_TEST_KEY is not set"):
        check_access(recipe(address, key_env="JUDGE_TEST_KEY"), address)
