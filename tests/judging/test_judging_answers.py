"""What counts as a complete answer, what an endpoint means by Retry-After, and what a budget allows."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from ropo_bench.judging.client import retry_after
from ropo_bench.judging.identity import judge_identity, request_key
from ropo_bench.judging.ledger import Budget, cost, worst_tokens
from ropo_bench.judging.reply import Failure, Reply, read_completion
from ropo_bench.judging.runtime import answer_calls
from ropo_bench.recipes.judge import Prices
from ropo_bench.types import JudgeCall, Message
from tests.judging.asking import calls, recipe
from tests.judging.judge_answers import GARBAGE
from tests.judging.judge_server import JudgeServer


@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_no_answer(body: bytes) -> None:
    result = read_completion(body.decode())
    assert isinstance(result, Failure)
    assert result.kind == "garbage"


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "null",
        '"text"',
        '{"error": {"message": "no"}}',
        '{"choices": [{"message": null, "finish_reason": "stop"}]}',
        '{"choices": [{"message": {"content": [{"type": "text"}]}, "finish_reason": "stop"}]}',
    ],
)
def test_json_of_another_shape_is_no_answer(body: str) -> None:
    assert isinstance(read_completion(body), Failure)


def whole(**choice: object) -> str:
    return json.dumps({"model": "judge-1-0613", "choices": [choice]})


def test_complete_answers() -> None:
    truncated = read_completion(whole(message={"content": None}, finish_reason="length"))
    assert isinstance(truncated, Reply)
    assert (truncated.answer.text, truncated.answer.finish_reason) == ("", "length")
    assert (truncated.input_tokens, truncated.output_tokens, truncated.model) == (None, None, "judge-1-0613")
    unsaid = read_completion(whole(message={"content": "[[A]]"}))
    assert isinstance(unsaid, Reply)
    assert (unsaid.answer.text, unsaid.answer.finish_reason) == ("[[A]]", "stop")
    refused = read_completion(whole(message={"content": None, "refusal": "I will not."}, finish_reason="stop"))
    assert isinstance(refused, Reply)
    assert refused.answer.text == "I will not."


def test_log_probabilities_are_those_of_the_first_token() -> None:
    first = {
        "token": "m",
        "logprob": -0.1,
        "top_logprobs": [{"token": "m", "logprob": -0.1}, {"token": "M", "logprob": -2}],
    }
    second = {"token": "!", "logprob": 0.0, "top_logprobs": [{"token": "!", "logprob": 0.0}]}
    reply = read_completion(
        whole(message={"content": "m!"}, finish_reason="stop", logprobs={"content": [first, second]})
    )
    assert isinstance(reply, Reply)
    assert reply.answer.top_logprobs == {"m": -0.1, "M": -2.0}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": formatdate(time.time() - 60, usegmt=True)}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_as_a_date() -> None:
    seconds = retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    assert seconds is not None
    assert 55 < seconds <= 60


def test_a_judge_is_its_endpoint_model_and_parameters_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    one = recipe("https://one/v1/")
    other_limits = {"name": "b", "max_concurrency": 3, "timeout_seconds": 1.0, "max_attempts": 2, "key_env": "X"}
    assert judge_identity(one) == judge_identity(recipe("https://one/v1", **other_limits))
    for change in ({"model": "x"}, {"base_url": "https://two"}, {"params": {"top_p": 0.5}}, {"logprobs": False}):
        assert judge_identity(one) != judge_identity(one.model_copy(update=change))
    default = one.model_copy(update={"base_url": None})
    assert judge_identity(default)["base_url"] == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere/v1")
    assert judge_identity(default)["base_url"] == "https://elsewhere/v1"

    call = JudgeCall("a", (Message(role="user", content="?"),), {"temperature": 0.0, "max_tokens": 1})
    same = JudgeCall("b", call.messages, {"max_tokens": 1, "temperature": 0.0})
    assert request_key(one, call) == request_key(one, same)
    assert request_key(one, call) != request_key(one, JudgeCall("a", call.messages, {"max_tokens": 2}))


def test_a_budget_counts_what_is_on_its_way_at_its_worst() -> None:
    budget = Budget(calls=3, usd=1.0)
    assert budget.take(0.6)
    assert not budget.take(0.6)
    assert budget.may_recover
    budget.pay(0.6, 0.1)
    assert budget.take(0.6)
    budget.pay(0.6, 0.5)
    assert not budget.take(0.5)
    assert not budget.may_recover
    assert budget.take(0.4)
    assert not budget.take(0.0)  # no call left
    assert (budget.calls, budget.spent_calls) == (0, 3)
    assert budget.spent_usd == pytest.approx(0.6)
    assert Budget().take(1e9)


def test_costs() -> None:
    prices = Prices(input_per_million_usd=10.0, output_per_million_usd=30.0, source="a test")
    assert cost(prices, 1000, 100) == pytest.approx(0.013)
    messages = [Message(role="user", content="héllo")]
    assert worst_tokens(messages, {"max_tokens": 5}) == (6 + 32, 5)
    assert worst_tokens(messages, {})[1] == 4096


@pytest.mark.parametrize("escaped", ["sk-marked-abcdef\\/0123456789", "sk\\u002dmarked-abcdef/0123456789"])
def test_an_echoed_key_is_not_kept_however_the_server_escapes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, escaped: str
) -> None:
    key = "sk-marked-abcdef/0123456789"
    monkeypatch.setenv("ECHOED_TEST_KEY", key)
    message = f'{{"content": "said {escaped}"}}'
    body = f'{{"model": "m", "choices": [{{"finish_reason": "stop", "message": {message}}}]}}'
    with JudgeServer(respond=lambda asked, headers: (200, {}, body.encode())) as server:
        judge = recipe(server.url, key_env="ECHOED_TEST_KEY")
        outcome = answer_calls(judge, calls(1), tmp_path, Budget())
    assert [answer.text for answer in outcome.answers.values()] == ["said [key]"]
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("abcdef" in text for text in written)
