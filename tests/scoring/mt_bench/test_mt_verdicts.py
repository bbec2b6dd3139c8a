from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.scoring.mt_bench.verdicts import Side, parse_rating, parse_side, preference

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
def test_ratings(text: str, rating: float | None) -> None:
    assert parse_rating(text) == rating


@given(before=PLAIN, tenths=st.integers(0, 100), after=TEXT)
def test_a_grade_in_double_brackets_is_read_whatever_stands_around_it(before: str, tenths: int, after: str) -> None:
    assert parse_rating(f"{before}[[{tenths / 10}]]{after}") == tenths / 10


@given(TEXT)
def test_no_grade_comes_from_nowhere(text: str) -> None:
    rating = parse_rating(text)
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
def test_sides(text: str, side: Side | None) -> None:
    assert parse_side(text) == side


@given(before=PLAIN, mark=st.sampled_from(["A", "B", "C"]), after=PLAIN)
def test_the_only_mark_is_the_verdict(before: str, mark: str, after: str) -> None:
    assert parse_side(f"{before}[[{mark}]]{after}") == {"A": "A", "B": "B", "C": "tie"}[mark]


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
