"""What a damaged file of a judge costs: its damaged lines, and nothing that is paid for beside them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from ropo_bench.judging.checksummed_lines import with_checksum
from ropo_bench.judging.ledger import Budget, cost, read_answers, spent_usd, worst_tokens
from ropo_bench.judging.runtime import answer_calls
from ropo_bench.recipes.judge import Prices
from ropo_bench.store import JsonLines
from tests.judging.asking import calls, expected, recipe
from tests.judging.judge_server import JudgeServer

PRICES = Prices(input_per_million_usd=1, output_per_million_usd=2, source="a test")


def damage(path: Path, number: int, line: bytes) -> None:
    """Put other bytes in place of a line, counted from 0."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = line
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    "line",
    [b"{not json\n", b"\0" * 40 + b"\n", b"[]\n", b"{}\n", b'{"key": 5}\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n"],
    ids=["text", "zeros", "list", "empty", "number", "bytes", "deep"],
)
def test_a_bad_line_costs_that_line(tmp_path: Path, line: bytes) -> None:
    told: list[str] = []
    with JudgeServer() as server:
        judge = recipe(server.url)
        answer_calls(judge, calls(6), tmp_path, Budget())
        damage(tmp_path / "answers.jsonl", 2, line)
        outcome = answer_calls(judge, calls(6), tmp_path, Budget(), waiting=told.append)
        assert outcome.tally.sent == 1
        assert {item: answer.text for item, answer in outcome.answers.items()} == expected(judge, calls(6))
        assert answer_calls(judge, calls(6), tmp_path, Budget()).tally.sent == 0
    assert (tmp_path / "answers.jsonl.bad").read_bytes() == line
    assert [text.split(": ", 1)[1] for text in told] == [
        "damaged lines, moved into answers.jsonl.bad: 1; what they answered is asked again"
    ]


def test_one_flipped_byte_is_noticed_or_without_influence(tmp_path: Path) -> None:
    draws = random.Random(12)
    with JudgeServer() as server:
        judge = recipe(server.url, prices=PRICES)
        first = answer_calls(judge, calls(3), tmp_path, Budget())
        keys = {record["key"] for record in JsonLines(tmp_path / "answers.jsonl")}
        path, paid = tmp_path / "answers.jsonl", spent_usd(tmp_path, keys)
        sound = path.read_bytes()
        for _ in range(300):
            place, bit = draws.randrange(len(sound)), 1 << draws.randrange(8)
            path.write_bytes(sound[:place] + bytes([sound[place] ^ bit]) + sound[place + 1 :])
            found = read_answers(tmp_path, keys)
            assert all(first_answer in first.answers.values() for first_answer in found.values())
            assert len(found) >= 1
        path.write_bytes(sound)
        assert spent_usd(tmp_path, keys) == paid


def test_a_damaged_ledger_stops_nothing(tmp_path: Path) -> None:
    with JudgeServer() as server:
        judge = recipe(server.url)
        answer_calls(judge, calls(2), tmp_path, Budget())
        damage(tmp_path / "ledger.jsonl", 0, b"}\n")
        assert answer_calls(judge, calls(3), tmp_path, Budget()).tally.sent == 1
    assert (tmp_path / "ledger.jsonl.bad").read_bytes() == b"}\n"


def test_lines_of_before_there_were_checksums_are_answers(tmp_path: Path) -> None:
    old = {"key": "k", "item": "i", "text": "m", "finish_reason": "stop", "top_logprobs": {"m": -0.1}, "model": "j"}
    nan = {**old, "key": "n", "top_logprobs": {"m": float("nan"), "M": -1.0}}
    other = {**old, "key": "o", "text": 5}
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (old, nan, other)))
    found = read_answers(tmp_path, {"k", "n", "o"})
    assert found["k"].top_logprobs == {"m": -0.1}
    assert found["n"].top_logprobs is None  # no verdict, as if it came in today
    assert "o" not in found


def test_a_kill_between_answer_and_event_is_paid_for(tmp_path: Path) -> None:
    with JudgeServer() as server:
        judge = recipe(server.url, prices=PRICES)
        answer_calls(judge, calls(3), tmp_path, Budget())
    keys = {record["key"] for record in JsonLines(tmp_path / "answers.jsonl")}
    paid = spent_usd(tmp_path, keys)
    path = tmp_path / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    ends = [line for line in lines if b'"answered"' in line]
    path.write_bytes(b"".join(line for line in lines if line != ends[-1]))
    assert spent_usd(tmp_path, keys) == pytest.approx(paid)


def test_a_request_on_its_way_at_the_end_counts_as_the_worst(tmp_path: Path) -> None:
    worst = cost(PRICES, *worst_tokens(calls(1)[0].messages, calls(1)[0].params))
    sent = {"event": "sent", "key": "k", "item": "i", "attempt": 1, "worst_usd": worst}
    with JsonLines(tmp_path / "ledger.jsonl") as lines:
        lines.append(with_checksum(sent))
        lines.append(with_checksum({**sent, "event": "retried", "worst_usd": 0.0}))
        assert spent_usd(tmp_path, {"k"}) == 0
        lines.append(with_checksum(sent))
    assert spent_usd(tmp_path, {"k"}) == pytest.approx(worst)
