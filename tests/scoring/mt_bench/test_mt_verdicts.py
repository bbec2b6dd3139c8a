"""Reading a judge's text: grades and sides, as FastChat reads them and by the closing mark."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.scoring.mt_bench.verdicts import Rule, Side, preference, read_rating, read_side
from ropo_bench.types import JudgeAnswer

TEXT = st.text(max_size=80)
PLAIN = TEXT.filter(lambda text: "[" not in text)
SIDES = st.sampled_from(["A", "B", "tie", None])


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("Good. Rating: [[7]]", 7),
        ("[[8.5]]", 8.5),
        ("Rating: [6]", 6),  # the fallback
        ("as in [3], but [[9]]", 9),  # two brackets before one
        ("[[4]] ... no, [[5]]", 4),  # the first counts
        ("[[10.]]", 10),
        ("[[0]]", 0),
        ("Rating: [[rating]]", None),
        ("Rating: 7/10", None),
        ("[[7/10]]", None),
        ("[[-1]]", None),
        ("see [2023]", None),  # FastChat reads a grade of 2023 here
        ("[[85]]", None),
        ("[[٧]]", None),
        ("", None),
    ],
)
def test_the_first_ratings_as_fastchat_reads_them(text: str, rating: float | None) -> None:
    assert read_rating(JudgeAnswer(text), "first").value == rating


@pytest.mark.parametrize("rule", ["last", "first"])
@given(before=PLAIN, tenths=st.integers(0, 100), after=PLAIN)
def test_a_grade_in_double_brackets_is_read_whatever_stands_around_it(
    rule: Rule, before: str, tenths: int, after: str
) -> None:
    assert read_rating(JudgeAnswer(f"{before}. [[{tenths / 10}]]{after}"), rule) == (tenths / 10, False)


@pytest.mark.parametrize("rule", ["last", "first"])
@given(text=TEXT)
def test_no_grade_comes_from_nowhere(rule: Rule, text: str) -> None:
    rating = read_rating(JudgeAnswer(text), rule).value
    assert rating is None or (0 <= rating <= 10 and re.search(r"\[\d", text))


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("My verdict: [[A]]", "A"),
        ("[[B]]", "B"),
        ("[[C]]", "tie"),
        ("[[B]], not [[A]]", "A"),  # FastChat's order of looking
        ("[A]", None),
        ("A is better", None),
    ],
)
def test_sides_as_fastchat_reads_them(text: str, side: Side | None) -> None:
    assert read_side(JudgeAnswer(text), "first").value == side


@pytest.mark.parametrize("rule", ["last", "first"])
@given(before=PLAIN, mark=st.sampled_from(["A", "B", "C"]), after=PLAIN)
def test_the_only_mark_is_the_verdict(rule: Rule, before: str, mark: str, after: str) -> None:
    reading = read_side(JudgeAnswer(f"{before}[[{mark}]]{after}"), rule)
    assert reading == ({"A": "A", "B": "B", "C": "tie"}[mark], False)


@pytest.mark.parametrize(
    ("as_a", "as_b", "won"),
    [
        ("A", "B", 1.0),
        ("B", "A", 0.0),
        ("tie", "tie", 0.5),
        ("A", "A", 0.5),  # always the first: no verdict on the answers
        ("B", "B", 0.5),
        ("A", "tie", 0.5),
        ("tie", "A", 0.5),
        ("A", None, None),
        (None, "tie", None),
    ],
)
def test_orders_that_disagree_are_a_tie(as_a: Side | None, as_b: Side | None, won: float | None) -> None:
    assert preference(as_a, as_b) == won


@given(as_a=SIDES, as_b=SIDES)
def test_models_swapped_the_preferences_add_to_one(as_a: Side | None, as_b: Side | None) -> None:
    won, lost = preference(as_a, as_b), preference(as_b, as_a)
    assert (won is None and lost is None) or (won or 0) + (lost or 0) == 1
