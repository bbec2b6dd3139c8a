"""Endpoints that lie, flood or lead elsewhere: each is a failed measurement with a reason, never a crash."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.judging.ledger import Budget, cost, spent_usd, worst_tokens
from ropo_bench.judging.reply import Failure, Reply, read_completion
from ropo_bench.judging.runtime import Outcome, answer_calls
from ropo_bench.judging.transport import MAX_BODY_BYTES, UnreadableBody, unpack
from ropo_bench.recipes.judge import Prices
from ropo_bench.store import JsonLines
from tests.judging.asking import calls, recipe
from tests.judging.judge_answers import Body, Response, completion, error_body
from tests.judging.judge_server import JudgeServer

PRICES = Prices(input_per_million_usd=1e6, output_per_million_usd=1e6, source="a test: a dollar a token")


def ask(folder: Path, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Outcome:
    """One call, all of whose requests are answered in the same way."""
    with JudgeServer(respond=lambda *_: (status, headers or {}, body)) as server:
        return answer_calls(recipe(server.url, max_attempts=2), calls(1), folder, Budget())


def whole(**changes: Any) -> str:
    """A chat completion with some of its fields changed."""
    body = {"model": "judge-1", "messages": [], "logprobs": True, "top_logprobs": 5}
    return json.dumps({**completion(body, "m"), **changes})


# -- size --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (lambda: b" " * (MAX_BODY_BYTES + 1), {}),
        (lambda: gzip.compress(bytes(300 << 20), 9), {"Content-Encoding": "gzip"}),
        (lambda: zlib.compress(bytes(64 << 20)), {"Content-Encoding": "deflate"}),
    ],
    ids=["plain", "gzip", "deflate"],
)
def test_a_body_beyond_the_bound_is_a_failed_measurement(
    tmp_path: Path, body: Callable[[], bytes], headers: dict[str, str]
) -> None:
    outcome = ask(tmp_path, body(), headers=headers)
    assert outcome.failed == {"item-0": "an answer of more than 8 MiB"}
    assert not outcome.answers


def test_an_error_of_endless_length_is_cut(tmp_path: Path) -> None:
    outcome = ask(tmp_path, error_body("no " * 100_000), status=500)
    assert len(outcome.failed["item-0"]) <= 300
    assert ask(tmp_path, b"x" * (MAX_BODY_BYTES + 1), status=500).failed["item-0"] == "an answer of more than 8 MiB"


def test_a_packed_answer_of_usual_size_is_read(tmp_path: Path) -> None:
    body = gzip.compress(whole().encode())
    assert ask(tmp_path, body, headers={"Content-Encoding": "gzip"}).answers["item-0"].text == "m"


@pytest.mark.parametrize("packing", ["br", "zstd", "gzip, gzip", "bz2_codec"])
def test_other_packings_were_not_asked_for(packing: str) -> None:
    with pytest.raises(UnreadableBody, match="not asked for"):
        unpack(b"abc", packing)
    with pytest.raises(UnreadableBody, match="is not"):
        unpack(b"abc", "gzip")


def test_a_charset_that_unpacks_is_not_heard(tmp_path: Path) -> None:
    text = whole().encode()
    assert ask(tmp_path, text, headers={"Content-Type": "application/json; charset=zlib_codec"}).answers


def test_an_error_sends_no_control_characters_to_the_terminal(tmp_path: Path) -> None:
    outcome = ask(tmp_path, error_body("gone\x1b[2J\x07\nand\u202eback"), status=500)
    assert outcome.failed["item-0"] == "500: gone?[2J? and?back"


# -- shape -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{}, [], 7, True, "", "a\x1b[2Jb", "m" * 1000, None, "judge-1"])
def test_a_model_is_a_name_or_the_answer_is_none(value: object) -> None:
    result = read_completion(whole(model=value))
    if value in (None, "", "judge-1"):
        assert isinstance(result, Reply)
    else:
        assert isinstance(result, Failure)
        assert (result.kind, result.reason) == ("garbage", "no chat completion: its model is no name")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000 + "]" * 200_000,
        '{"a":' * 200_000 + "1" + "}" * 200_000,
        whole(choices={}),
        whole(choices=[[]]),
        whole(choices=[None]),
        whole(choices=[{"message": []}]),
        whole(choices=[{"message": {"content": {"text": "m"}}}]),
        whole(choices=[{"message": {"content": "m"}, "finish_reason": {}}]),
        "9" * 5000,
        "NaN",
        "\ud800",
    ],
    ids=range(11),
)
def test_anything_else_is_garbage_with_a_reason(text: str) -> None:
    result = read_completion(text)
    assert isinstance(result, Failure)
    assert result.kind == "garbage"
    assert result.reason


def test_a_deep_answer_and_a_deep_error_are_failed_measurements(tmp_path: Path) -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    assert "RecursionError" in ask(tmp_path / "a", deep).failed["item-0"]
    assert ask(tmp_path / "b", deep, status=500).failed["item-0"].startswith("500: ")


@pytest.mark.parametrize(
    "logprobs", [[], 3, "x", {"content": {}}, {"content": [[]]}, {"content": [{"top_logprobs": 5}]}]
)
def test_log_probabilities_of_another_shape_are_none(logprobs: object) -> None:
    choice = {"message": {"content": "m"}, "finish_reason": "stop", "logprobs": logprobs}
    result = read_completion(whole(choices=[choice]))
    assert isinstance(result, Reply)
    assert result.answer.top_logprobs is None


# -- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nats", ["NaN", "Infinity", '"nan"', "null", "true", "0.5", "1e400", "1" + "0" * 400, "[]"])
def test_a_log_probability_that_is_none_makes_no_preference(nats: str) -> None:
    text = (
        '{"choices": [{"message": {"content": "m"}, "finish_reason": "stop", "logprobs": {"content": ['
        f'{{"top_logprobs": [{{"token": "m", "logprob": {nats}}}, {{"token": "M", "logprob": -1}}]}}]}}}}]}}'
    )
    result = read_completion(text)
    assert isinstance(result, Reply)
    assert result.answer.text == "m"
    assert result.answer.top_logprobs is None


def test_a_probability_of_zero_is_a_probability() -> None:
    top = [{"token": "m", "logprob": -math.inf}, {"token": "M", "logprob": -9999.0}]
    choice = {"message": {"content": "m"}, "finish_reason": "stop", "logprobs": {"content": [{"top_logprobs": top}]}}
    result = read_completion(whole(choices=[choice]))
    assert isinstance(result, Reply)
    assert result.answer.top_logprobs == {"M": -9999.0}


@pytest.mark.parametrize("count", [-5, 0, 1e30, 10**30, "7", None, True, math.nan, [], {}])
def test_a_count_of_tokens_that_is_none_costs_the_worst(tmp_path: Path, count: object) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count}
    text = whole(usage=usage).encode()
    with JudgeServer(respond=lambda *_: (200, {}, text)) as server:
        judge = recipe(server.url, prices=PRICES, max_concurrency=1)
        worst = cost(PRICES, *worst_tokens(calls(1)[0].messages, calls(1)[0].params))
        budget = Budget(usd=2.5 * worst)
        with pytest.raises(Exception, match="budget reached"):
            answer_calls(judge, calls(5), tmp_path, budget)
        assert server.counts.sent.total() == 2
    assert budget.spent_usd == pytest.approx(2 * worst)


def test_usage_of_another_shape_is_no_count() -> None:
    for usage in (5, [], "x", {"prompt_tokens": -1, "completion_tokens": 2}):
        result = read_completion(whole(usage=usage))
        assert isinstance(result, Reply)
        assert result.input_tokens is None


def test_an_answer_that_cannot_be_read_may_have_been_paid_for(tmp_path: Path) -> None:
    budget = Budget()
    with JudgeServer(respond=lambda *_: (200, {}, b"<html>")) as server:
        judge = recipe(server.url, prices=PRICES, max_attempts=2)
        outcome = answer_calls(judge, calls(1), tmp_path, budget)
    worst = cost(PRICES, *worst_tokens(calls(1)[0].messages, calls(1)[0].params))
    assert outcome.tally.cost_usd == pytest.approx(2 * worst) == budget.spent_usd
    keys = {record["key"] for record in JsonLines(tmp_path / "ledger.jsonl")}
    assert spent_usd(tmp_path, keys) == pytest.approx(2 * worst)


# -- another host -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_and_nothing_is_sent_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("JUDGE_TEST_KEY", "sk-a-key-of-some-length")
    with JudgeServer() as elsewhere:

        def lead_away(body: Body, headers: dict[str, str]) -> Response:
            return status, {"Location": f"{elsewhere.url}/chat/completions"}, b""

        with JudgeServer(respond=lead_away) as server:
            judge = recipe(server.url, key_env="JUDGE_TEST_KEY")
            with pytest.raises(UsageError, match=rf"{status}: it redirects to 127\.0\.0\.1.*check base_url"):
                answer_calls(judge, calls(20), tmp_path, Budget())
        assert not elsewhere.counts.sent
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_redirect_to_nowhere_is_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it redirects to another address"):
        ask(tmp_path, b"", status=302, headers={"Location": "http://[broken"})
