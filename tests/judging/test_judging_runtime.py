"""The judging runtime against a real server: once per answer, and who may ask at a time."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import pytest

from ropo_bench.errors import StorageError, UsageError
from ropo_bench.judging.ledger import Budget, Tally
from ropo_bench.judging.runtime import answer_calls
from ropo_bench.store import JsonLines
from ropo_bench.types import JudgeCall, Message
from tests.judging.asking import ASK, calls, events, expected, recipe, start
from tests.judging.judge_answers import Body, Response, completion, error_body
from tests.judging.judge_server import JudgeServer


def test_each_call_is_answered_and_never_asked_again(tmp_path: Path) -> None:
    asked = calls(40)
    with JudgeServer() as server:
        judge, seen = recipe(server.url), list[Tally]()
        first = answer_calls(judge, asked[:30], tmp_path, Budget(), report=seen.append)
        again = answer_calls(judge, asked, tmp_path, Budget())
        assert server.counts.sent.total() == 40
    assert {item: answer.text for item, answer in again.answers.items()} == expected(judge, asked)
    assert first.answers.items() <= again.answers.items()
    assert (first.tally.asked, first.tally.cached, first.tally.sent, first.tally.answered) == (30, 0, 30, 30)
    assert (again.tally.asked, again.tally.cached, again.tally.sent, again.tally.answered) == (40, 30, 10, 10)
    assert [tally.answered for tally in seen[:30]] == list(range(1, 31))
    assert events(tmp_path) == {"sent": 40, "answered": 40}


def test_log_probabilities_come_with_the_answer_and_from_the_disk(tmp_path: Path) -> None:
    with JudgeServer() as server:
        fresh = answer_calls(recipe(server.url), calls(1), tmp_path, Budget()).answers["item-0"]
        kept = answer_calls(recipe(server.url), calls(1), tmp_path, Budget()).answers["item-0"]
        bare = recipe(server.url, logprobs=False)
        without = answer_calls(bare, calls(1), tmp_path / "bare", Budget()).answers["item-0"]
        (body,) = [body for body in server.bodies.values() if "logprobs" not in body]
    assert fresh == kept
    assert fresh.top_logprobs is not None
    assert set(fresh.top_logprobs) == {"m", "M"}
    assert max(fresh.top_logprobs, key=fresh.top_logprobs.__getitem__) == fresh.text
    assert without.top_logprobs is None
    assert "top_logprobs" not in body


def test_equal_requests_in_one_list_are_sent_once(tmp_path: Path) -> None:
    (call,) = calls(1)
    twins = [JudgeCall(item, call.messages, call.params) for item in ("a", "b", "c")]
    with JudgeServer() as server:
        outcome = answer_calls(recipe(server.url), twins, tmp_path, Budget())
        assert server.counts.sent.total() == 1
    assert outcome.answers["a"] == outcome.answers["b"] == outcome.answers["c"]
    assert (outcome.tally.asked, outcome.tally.cached, outcome.tally.sent) == (3, 2, 1)


def test_params_of_the_judge_stand_in_place_of_the_protocols(tmp_path: Path) -> None:
    with JudgeServer() as server:
        judge = recipe(server.url, params={"max_tokens": None, "max_completion_tokens": 7, "temperature": 1.0})
        answer_calls(judge, calls(1), tmp_path, Budget())
        (body,) = server.bodies.values()
    assert {name: body[name] for name in body if name not in ("messages", "model")} == {
        "max_completion_tokens": 7,
        "temperature": 1.0,
        "logprobs": True,
        "top_logprobs": 5,
    }


def test_a_truncated_answer_is_a_complete_answer(tmp_path: Path) -> None:
    def cut(body: Body, headers: dict[str, str]) -> Response:
        whole = completion(body, "")
        whole["choices"][0]["finish_reason"] = "length"
        return 200, {}, json.dumps(whole).encode()

    with JudgeServer(respond=cut) as server:
        answer = answer_calls(recipe(server.url), calls(1, {}), tmp_path, Budget()).answers["item-0"]
    assert (answer.text, answer.finish_reason) == ("", "length")


def test_an_item_that_fails_for_good_is_counted_and_asked_again_by_the_next_command(tmp_path: Path) -> None:
    broken = True

    def respond(body: Body, headers: dict[str, str]) -> Response | None:
        return (
            (500, {}, error_body("out of order"))
            if broken and body["messages"][1]["content"].endswith(" 3")
            else None
        )

    with JudgeServer(respond=respond) as server:
        judge = recipe(server.url, max_attempts=2)
        outcome = answer_calls(judge, calls(8), tmp_path, Budget())
        assert (outcome.tally.sent, outcome.tally.answered) == (9, 7)
        assert (outcome.tally.retried, outcome.tally.failed) == (1, 1)
        assert outcome.failed == {"item-3": "500: out of order"}
        assert events(tmp_path) == {"sent": 9, "answered": 7, "retried": 1, "failed": 1}
        broken = False
        assert answer_calls(judge, calls(8), tmp_path, Budget()).tally.sent == 1


def test_a_dead_endpoint_is_given_up_soon_and_nothing_is_kept_as_answered(tmp_path: Path) -> None:
    with JudgeServer() as server:
        url = server.url
    outcome = answer_calls(recipe(url, max_attempts=2), calls(50), tmp_path, Budget())
    assert len(outcome.failed) == outcome.tally.failed == 50
    assert outcome.tally.sent < 50
    assert "no answer in 2 rounds" in outcome.failed["item-49"]
    assert not list(JsonLines(tmp_path / "answers.jsonl"))


# -- who asks, and when it is stopped ----------------------------------------------------------------------------


def test_only_one_process_asks_a_judge_at_a_time(tmp_path: Path) -> None:
    with JudgeServer(latency=0.5) as server:
        other = start(ASK, server.url, tmp_path, 100, 4)
        assert other.stdout is not None
        other.stdout.readline()
        while not server.counts.sent:
            time.sleep(0.01)
        with pytest.raises(UsageError, match=f"process {other.pid} is asking this judge"):
            answer_calls(recipe(server.url), calls(1), tmp_path, Budget())
        other.kill()
        other.communicate()
        assert answer_calls(recipe(server.url), calls(1), tmp_path, Budget()).answers


def test_it_works_in_a_thread_and_the_folder_is_held_there_too(tmp_path: Path) -> None:
    with JudgeServer(latency=0.2) as server:
        judge, outcomes = recipe(server.url), []
        thread = threading.Thread(
            target=lambda: outcomes.append(answer_calls(judge, calls(5), tmp_path, Budget())), daemon=True
        )
        thread.start()
        while not server.counts.sent:
            time.sleep(0.01)
        with pytest.raises(UsageError, match="is asking this judge"):
            answer_calls(judge, calls(1), tmp_path, Budget())
        thread.join(20)
    assert len(outcomes[0].answers) == 5


def test_ctrl_c_keeps_what_is_on_its_way(tmp_path: Path) -> None:
    with JudgeServer(latency=0.4) as server:
        process = start(ASK, server.url, tmp_path, 200, 8)
        while server.counts.sent.total() < 12:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
        assert process.returncode != 0
        assert error.strip().endswith("KeyboardInterrupt")
        sent = server.counts.sent.total()
        assert len(list(JsonLines(tmp_path / "answers.jsonl"))) == sent < 40
        answer_calls(recipe(server.url, max_concurrency=64), calls(40), tmp_path, Budget())
        assert server.counts.answered_then_asked.total() == 0


def test_a_full_disk_stops_the_asking(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").mkdir()
    with JudgeServer() as server:
        with pytest.raises(StorageError):
            answer_calls(recipe(server.url), calls(200), tmp_path, Budget())
        assert server.counts.sent.total() <= 40


def test_azure_is_asked_by_deployment_with_its_own_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_TEST_KEY", "a-key-of-mine")
    headers_seen: list[dict[str, str]] = []

    def look(body: Body, headers: dict[str, str]) -> None:
        headers_seen.append(headers)

    with JudgeServer(respond=look) as server:
        address = server.url.removesuffix("/v1")
        judge = recipe(address, kind="azure", api_version="2024-10-21", key_env="JUDGE_TEST_KEY")
        assert answer_calls(judge, calls(1), tmp_path, Budget()).answers
        assert server.paths == {"/openai/deployments/judge-1/chat/completions?api-version=2024-10-21"}
    assert headers_seen[0]["api-key"] == "a-key-of-mine"


def test_a_served_model_gets_no_key_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-mine")
    seen: list[dict[str, str]] = []

    def look(body: Body, headers: dict[str, str]) -> None:
        seen.append(headers)

    with JudgeServer(respond=look) as server:
        judge = recipe(server.url, kind="vllm-serve", base_url=None, key_env="OPENAI_API_KEY")
        assert answer_calls(
            judge, [JudgeCall("a", (Message(role="user", content="?"),))], tmp_path, Budget(), endpoint=server.url
        ).answers
    assert "a-key-of-mine" not in str(seen)
