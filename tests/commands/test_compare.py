"""`ropo-bench compare`: which rows make a pair, and what is said of a pair."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.commands.compare import compare_command
from ropo_bench.comparison.items import Change, ComparedColumn, ComparedRows, find_most_changed, flips
from ropo_bench.comparison.text import comparison_text, interval_text, number
from ropo_bench.errors import UsageError
from ropo_bench.store import Store
from ropo_bench.types import Score
from tests import stored_run

NUM = 24
WORSE = [100.0] * 9 + [50.0] * 3 + [0.0] * 12
BETTER = [100.0] * 15 + [50.0] * 3 + [0.0] * 6  # six battles better, three of them won instead of tied
RIGHT = [100.0] * 20 + [0.0] * 4
LENGTHS = [float(4 + i % 5) for i in range(NUM)]


def values(arena: list[float], quiz: list[float] = RIGHT) -> dict[str, Any]:
    return {"arena": {"win_rate": arena, "length": LENGTHS}, "quiz": {"accuracy": quiz}}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    stored_run.prompts_file(tmp_path, NUM)
    monkeypatch.chdir(tmp_path)  # the task names its prompts by a relative path
    return Store(tmp_path / "runs")


def compared(
    store: Store, capsys: pytest.CaptureFixture[str], *specs: str, rows: str | None = None
) -> dict[str, Any]:
    compare_command(specs[0], specs[1] if len(specs) > 1 else None, rows, 2, store.root, True)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_rows_of_one_run(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    stored_run.write(store, "one", {"SFT": [values(WORSE)], "a": [values(BETTER)], "b": [values(WORSE)]})
    found = compared(store, capsys, "one", rows="a,b")
    (pair,) = found["pairs"]
    assert (pair["a"], pair["b"]) == ("a", "b")
    arena, tokens, quiz = pair["columns"]
    assert arena["tested"]
    assert not tokens["tested"]
    assert arena["a"] - arena["b"] == pytest.approx(arena["comparison"]["estimate"]) == 25.0
    assert arena["comparison"]["low"] < 25.0 < arena["comparison"]["high"]
    assert arena["comparison"]["n"] == NUM
    # 9, 10 and 11 were ties of b, 12, 13 and 14 its losses.
    assert arena["flips"]["kind"] == "battles"
    assert arena["flips"]["better_in_a"] == ["p12", "p13", "p14"]
    assert arena["flips"]["better_in_b"] == []
    assert [change["prompt"] for change in arena["changes"]] == ["p12", "p13"]
    assert arena["changes"][0]["category"] == "even"
    assert arena["changes"][0]["answer_a"] == ["answer 12 of a, seed 0"]
    assert quiz["comparison"]["estimate"] == 0.0
    assert quiz["changes"] == []


def test_rows_named_with_their_run_twice_are_rows_of_one_run(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_run.write(store, "one", {"SFT": [values(WORSE)], "a": [values(BETTER)], "b": [values(WORSE)]})
    assert compared(store, capsys, "one:a", "one:b") == compared(store, capsys, "one", rows="a,b")


def test_holm_is_over_the_tested_columns_and_over_the_others(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    worse_quiz = [100.0] * 17 + [0.0] * 7
    stored_run.write(store, "one", {"a": [values(BETTER)], "b": [values(WORSE, worse_quiz)]})
    arena, tokens, quiz = compared(store, capsys, "one", rows="a,b")["pairs"][0]["columns"]
    p_values = sorted([arena["comparison"]["p_value"], quiz["comparison"]["p_value"]])
    adjusted = sorted([arena["comparison"]["adjusted"], quiz["comparison"]["adjusted"]])
    assert adjusted == pytest.approx([min(1.0, 2 * p_values[0]), max(min(1.0, 2 * p_values[0]), p_values[1])])
    assert quiz["flips"]["kind"] == "answers"
    assert len(quiz["flips"]["better_in_a"]) == 3
    assert tokens["comparison"]["adjusted"] in (None, tokens["comparison"]["p_value"])


def test_two_runs_say_what_differs(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    first = stored_run.write(store, "one", {"SFT": [values(WORSE)], "a": [values(WORSE)]})
    request = first.request.model_copy(update={"methods": [stored_run.method("a", 5e-4)]})
    made = {**first.provenance, "packages": {"torch": "2.14.0"}}
    rows = {"SFT": [values(WORSE)], "a": [values(BETTER)]}
    stored_run.write(store, "two", rows, request=request, provenance=made)
    found = compared(store, capsys, "one", "two")
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [("one:a", "two:a")]
    assert found["pairs"][0]["columns"][0]["comparison"]["estimate"] == -25.0
    notes = "\n".join(found["notes"])
    assert "differs: method: train lr 0.001 | 0.0005" in notes
    assert "differs: packages: torch 2.13.0 | 2.14.0" in notes
    assert "differs: preference data" not in notes
    assert "left out: arena, quiz: one:SFT and two:SFT have the very same scores" in notes


def test_runs_that_share_a_seed_say_so(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    stored_run.write(store, "one", {"a": [values(BETTER)]})
    stored_run.write(store, "more", {"a": [values(BETTER), values(WORSE)]})
    found = compared(store, capsys, "one", "more")
    assert "one:a and more:a are not independent: the same scores for 1 seed(s)" in found["notes"]
    assert "a row of one for this one model" in found["notes"][-1]


def test_seeds_make_it_about_the_method(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    stored_run.write(store, "one", {"a": [values(BETTER), values(WORSE)], "b": [values(WORSE)] * 2})
    found = compared(store, capsys, "one", rows="a,b")
    assert found["pairs"][0]["num_seeds_a"] == 2
    assert "about the methods" in found["notes"][-1]
    # A battle that one seed wins and the other loses is neither.
    assert found["pairs"][0]["columns"][0]["flips"]["better_in_a"] == []


def test_what_makes_no_pair_is_left_out_or_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"a": [values(BETTER)]}
    stored_run.write(store, "one", {"a": [values(WORSE, RIGHT[::-1])]})
    other = {**stored_run.ARENA, "options": {"tie": 0.5}}
    stored_run.write(store, "options", rows, [other, stored_run.QUIZ])
    found = compared(store, capsys, "one", "options")
    assert [column["task"] for column in found["pairs"][0]["columns"]] == ["quiz"]
    assert "left out: arena: its options differ: tie none | 0.5" in found["notes"]
    hotter = {**stored_run.ARENA, "decoding": {"max_new_tokens": 8, "temperature": 0.7}}
    stored_run.write(store, "hotter", rows, [hotter])
    with pytest.raises(UsageError, match=r"nothing to compare: .*its decoding differ: temperature 0\.0 \| 0\.7"):
        compared(store, capsys, "one", "hotter")
    stored_run.write(store, "base", rows, base="c" * 64)
    with pytest.raises(UsageError, match="different base models"):
        compared(store, capsys, "one", "base")


def test_unfinished_rows_and_failed_items(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    holed: list[Any] = [*BETTER]
    holed[:1] = [None]
    stored_run.write(store, "one", {"a": [values(holed)], "b": [values(WORSE)], "c": None})
    found = compared(store, capsys, "one", rows="a,b")
    arena = found["pairs"][0]["columns"][0]
    assert (arena["n_unscored_a"], arena["n_unscored_b"], arena["comparison"]["n"]) == (1, 0, NUM - 1)
    assert arena["flips"]["n"] == NUM - 1
    with pytest.raises(UsageError, match=r"nothing to compare: left out: arena, quiz: c is not scored \(pending\)"):
        compared(store, capsys, "one", rows="a,c")


@pytest.mark.parametrize(
    ("specs", "rows", "words"),
    [
        (("one",), None, "compare one --rows a,b; its rows: a, b"),
        (("one",), "a", "such as"),
        (("one",), "a,bb", "no row 'bb'; "),
        (("one:a", "one"), None, "RUN:ROW on both sides"),
        (("one:a", "one:a"), None, "with itself"),
        (("one", "tow"), None, "did you mean 'two'?"),
        (("one", "two"), None, "no row has one name in both"),
    ],
)
def test_a_wrong_command_is_told_how_to_go_on(
    store: Store, capsys: pytest.CaptureFixture[str], specs: tuple[str, ...], rows: str | None, words: str
) -> None:
    stored_run.write(store, "one", {"a": [values(BETTER)], "b": [values(WORSE)]})
    stored_run.write(store, "two", {"z": [values(WORSE)]})
    with pytest.raises(UsageError) as caught:
        compared(store, capsys, *specs, rows=rows)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_text_has_every_number_and_nothing_that_moves_a_cursor(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_run.write(store, "one", {"a": [values(BETTER)], "b": [values(WORSE)]})
    compare_command("one", None, "a,b", 1, store.root, False)
    text = capsys.readouterr().out
    assert "battles won by A and lost by B: 3; the other way: 0; of 24" in text
    assert "p12 (even): A 100.0, B 0.0" in text
    assert "+25.0" in text
    assert "about these checkpoints" in text
    assert "\x1b" not in text


def test_answers_that_are_the_same_are_shown_once() -> None:
    change = Change("p", "", 7.0, 4.0, ("one", "two"), ("one", "two"))
    column = ComparedColumn("chat", "score", "chat", 2, "higher", True, 7.0, 4.0, 0, 0, changes=(change,))
    text = comparison_text("t", [], [ComparedRows("a", "b", 3, 3, [column])], 80)
    assert text.splitlines()[-3:] == ["  p: A 7.00, B 4.00", "    A and B alike: one / two", ""]


def test_battles_with_the_opponent_itself_are_won_by_the_one_and_lost_by_the_other() -> None:
    a = scores("win_rate", {"p": 100.0, "q": 0.0, "r": 50.0, "s": 100.0})
    opponent = scores("win_rate", dict.fromkeys("pqrs", 50.0))
    found = flips("win_rate", a, opponent, "higher")
    assert (found.better_in_a, found.better_in_b, found.n) == (("p", "s"), ("q",), 4)
    turned = flips("win_rate", opponent, a, "higher")
    assert (turned.better_in_a, turned.better_in_b) == (("q",), ("p", "s"))
    assert flips("win_rate", opponent, opponent, "higher").better_in_a == ()


def scores(metric: str, graded: dict[str, float]) -> list[list[Score]]:
    return [[Score(name, name.split(":")[0], metric, value) for name, value in graded.items()]]


def test_grades_flip_by_more_than_their_spread_and_lower_may_be_better() -> None:
    a = scores("score", {"p:1": 9.0, "p:2": 5.0, "q:1": 1.0})
    b = scores("score", {"p:1": 1.0, "p:2": 5.0, "q:1": 2.0})
    found = flips("score", a, b, "higher")
    assert found.kind == "grades"
    assert found.threshold == pytest.approx(math.sqrt(293 / 36))  # the mean of 9, 5, 1, 1, 5, 2 is 23/6
    assert (found.better_in_a, found.better_in_b) == (("p:1",), ())
    assert flips("score", a, b, "lower").better_in_b == ("p:1",)


def test_the_most_changed_prompts_hold_their_turns_together() -> None:
    a = scores("score", {"p:1": 9.0, "p:2": 5.0, "q:1": 1.0, "r:1": 3.0})
    b = scores("score", {"p:1": 1.0, "p:2": 5.0, "q:1": 2.0, "r:1": 3.0})
    found = find_most_changed("score", a, b, 5, {"p": "maths"})
    assert [(change.prompt, change.a, change.b) for change in found] == [("p", 7.0, 3.0), ("q", 1.0, 2.0)]
    assert found[0].category == "maths"


def test_numbers_are_shown_in_the_decimals_of_their_interval() -> None:
    assert number(-0.02, 1, sign=True, scale=2.2) == "0.0"
    assert number(8.5e-11, 6) == "8.5e-11"
    assert interval_text(-0.5, 1234.5, 1) == "[-0.5, +1,234.5]"
    assert interval_text(None, None, 1) == "–"
