"""What the judging runtime does about everything that breaks: endpoints, networks, processes, and leaking keys."""

from __future__ import annotations

import json
import random
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.judging import concurrency
from ropo_bench.judging.ledger import Budget
from ropo_bench.judging.runtime import answer_calls
from ropo_bench.store import JsonLines
from tests.judging.asking import ASK, FAKE_KEY, KEY_ENV, calls, events, expected, recipe, start
from tests.judging.judge_answers import Body, Response, completion, error_body
from tests.judging.judge_server import Faults, JudgeServer

FAULTS = Faults(throttled=0.2, errors=0.1, hanging=0.05, garbage=0.05, broken=0.02, dies_after=40)


def ask_through(faults: Faults, count: int, folder: Path, record_property: Callable[[str, object], None]) -> None:
    """Ask a faulty server; every law that a run through faults must keep."""
    asked = calls(count)
    with JudgeServer(latency=0.02, faults=faults) as server:
        judge = recipe(server.url, timeout_seconds=0.5)
        outcome = answer_calls(judge, asked, folder, Budget())
        counts = server.counts
    assert {item: answer.text for item, answer in outcome.answers.items()} == expected(judge, asked)
    assert not outcome.failed
    assert counts.faults.keys() >= {"throttled", "errors", "hanging", "garbage", "broken", "death"}
    tally, seen = outcome.tally, events(folder)
    # On a starved machine the server may write an answer when the client's time is up, or as it dies: that was never
    # received. Such attempts failed without a fault that was dealt to them, and not at a closed port.
    dealt = sum(counts.faults[fault] for fault in ("throttled", "errors", "hanging", "garbage", "broken", "death"))
    late = tally.retried - dealt - (tally.sent - counts.sent.total())
    assert sum(number > 0 for number in counts.answered_then_asked.values()) <= late  # again may be more than once
    assert tally.answered == seen["answered"] == count <= counts.answered.total() <= count + late
    assert tally.sent == tally.answered + tally.retried == seen["sent"]
    assert tally.sent >= counts.sent.total()  # those that met a closed port were sent, but never seen
    record_property("seconds", tally.seconds)
    print(f"{count} calls, {tally.sent} requests, {tally.seconds:.1f} s, {late} answers late, {dict(counts.faults)}")


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that fails waits from a tenth of a second on: most of the time went by in the last calls' pauses."""
    monkeypatch.setattr(concurrency, "BACKOFF_SECONDS", 0.1)


@pytest.mark.usefixtures("short_pauses")
def test_a_faulty_endpoint_changes_no_answer(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    ask_through(FAULTS, 60, tmp_path, record_property)


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.slow
def test_805_calls_through_a_faulty_endpoint_that_dies_for_two_seconds(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    faults = Faults(**{**vars(FAULTS), "dies_after": 400, "dead_seconds": 2.0})
    ask_through(faults, 805, tmp_path, record_property)


def test_a_small_endpoint_without_retry_after_is_asked_as_fast_as_it_bears(tmp_path: Path) -> None:
    with JudgeServer(latency=0.02, capacity=2) as server:
        outcome = answer_calls(recipe(server.url), calls(40), tmp_path, Budget())
    assert len(outcome.answers) == 40


def test_no_request_is_sent_before_the_time_an_endpoint_asked_for(tmp_path: Path) -> None:
    times: list[float] = []

    def respond(body: Body, headers: dict[str, str]) -> Response | None:
        times.append(time.monotonic())
        return (429, {"Retry-After": "1"}, error_body("wait")) if len(times) == 1 else None

    with JudgeServer(respond=respond) as server:
        assert len(answer_calls(recipe(server.url, max_concurrency=1), calls(3), tmp_path, Budget()).answers) == 3
    assert times[1] - times[0] >= 1.0


@pytest.mark.slow
def test_five_kills_lose_no_answer(tmp_path: Path) -> None:
    draws, concurrency, asked = random.Random(7), 8, calls(300)
    kept: set[str] = set()
    with JudgeServer(latency=0.03, faults=Faults(errors=0.05, garbage=0.05, throttled=0.05)) as server:
        for _ in range(5):
            before = server.counts.sent.total()
            process = start(ASK, server.url, tmp_path, len(asked), concurrency)
            while server.counts.sent.total() == before:
                assert process.poll() is None
                time.sleep(0.002)
            time.sleep(draws.uniform(0, 0.25))
            process.kill()
            process.communicate()
            kept |= {record["item"] for record in JsonLines(tmp_path / "answers.jsonl")}
            time.sleep(0.1)  # for the server to see what was on its way
            server.hold(item.removeprefix("item-") for item in kept)
        assert 0 < len(kept) < len(asked), "killed too early or too late to show anything"
        final = start(ASK, server.url, tmp_path, len(asked), concurrency)
        assert final.communicate(timeout=60)[0].split() == ["asking", str(len(asked)), "0"]
        assert server.counts.held_then_asked.total() == 0
        assert server.counts.answered_then_asked.total() <= 5 * concurrency
    judge = recipe(server.url)
    outcome = answer_calls(judge, asked, tmp_path, Budget())
    assert outcome.tally.sent == 0
    assert {item: answer.text for item, answer in outcome.answers.items()} == expected(judge, asked)


# -- keys --------------------------------------------------------------------------------------------------------

WITH_KEY = """
import logging, sys, traceback
from pathlib import Path
logging.basicConfig(level=logging.DEBUG)
from ropo_bench.judging.ledger import Budget
from ropo_bench.judging.runtime import answer_calls
from tests.judging.asking import KEY_ENV, calls, recipe

url, folder = sys.argv[1:]
try:
    outcome = answer_calls(
        recipe(url, key_env=KEY_ENV, max_attempts=2), calls(12), Path(folder), Budget(), report=print
    )
    print(outcome)
except Exception as error:
    while error is not None:
        print(type(error), error, error.args)
        traceback.print_exception(error)
        error = error.__cause__ or error.__context__
"""


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
def test_no_key_is_written_anywhere(tmp_path: Path, status: int) -> None:
    echoed = 0

    def echo(body: Body, headers: dict[str, str]) -> Response:
        nonlocal echoed
        echoed += FAKE_KEY in headers["authorization"]
        if status == 200:
            return 200, {}, json.dumps(completion(body, f"You sent {headers['authorization']}.")).encode()
        code = "insufficient_quota" if status == 429 else None
        return status, {}, error_body(f"you sent {headers}", code)

    with JudgeServer(respond=echo) as server:
        process = start(WITH_KEY, server.url, tmp_path, **{KEY_ENV: FAKE_KEY})
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert echoed
    assert "[key]" in output
    written = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"ledger.jsonl", "lock"} <= set(written)
    for text in (output, errors, *written.values()):
        assert FAKE_KEY not in text
        assert FAKE_KEY[5:] not in text


def test_a_short_placeholder_is_no_secret_and_changes_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ENV, "EMPTY")
    with JudgeServer(text=lambda body: "The cup is EMPTY.") as server:
        outcome = answer_calls(recipe(server.url, key_env=KEY_ENV), calls(1), tmp_path, Budget())
    assert outcome.answers["item-0"].text == "The cup is EMPTY."


@pytest.mark.parametrize("key", ["sk-“quoted-by-a-word-processor”", "two keys in-one-variable"])
def test_what_cannot_be_a_key_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(KEY_ENV, key)
    with pytest.raises(UsageError, match=KEY_ENV) as caught:
        answer_calls(recipe("http://127.0.0.1:9/v1", key_env=KEY_ENV), calls(1), tmp_path, Budget())
    assert key not in "".join(traceback.format_exception(caught.value))


def test_an_address_with_a_password_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:hidden@127.0.0.1:9/v1")
    with pytest.raises(UsageError, match="without a name, password") as caught:
        answer_calls(recipe("").model_copy(update={"base_url": None}), calls(1), tmp_path, Budget())
    assert "hidden" not in str(caught.value)
