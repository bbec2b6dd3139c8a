"""A cell of the table: estimate, error, and what is unscored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.errors import UsageError
from ropo_bench.recipes.task import Column
from ropo_bench.statistics.cells import measure, split
from ropo_bench.statistics.estimators import ESTIMATORS, census, maximum, mean
from ropo_bench.statistics.sample import Sample
from ropo_bench.types import Measurement, Score
from tests.statistics.score_tables import item, table

M = Column(metric="m", header="m")


def cell(scores: list[list[Score]]) -> Measurement:
    return measure("t", [M], scores)[0]


def test_mean_worked_example() -> None:
    # prompts a: (2 + 4)/2 = 3, b: 5, c: 7 -> mean 5, sd 2, SE 2/sqrt(3), t with 2 degrees 4.303
    found = cell([[item("a", 2, 1), item("a", 4, 2), item("b", 5), item("c", 7)]])
    assert (found.value, found.standard_error) == pytest.approx((5.0, 2 / 3**0.5))
    assert (found.low, found.high) == pytest.approx((5 - 4.968, 5 + 4.968), abs=1e-3)
    assert found.degrees == pytest.approx(2)


def test_one_prompt_has_no_error() -> None:
    found = cell([[item("a", 3, 1), item("a", 4, 2)]])
    assert (found.value, found.standard_error, found.degrees, found.low, found.split) == (3.5, None, None, None, {})


def test_seed_that_lacks_a_prompt_still_counts() -> None:
    found = cell([[item("a", 1), item("b", 3), item("c", 5)], [item("a", 1), item("b", 3)]])
    assert found.value == pytest.approx((3 + 2) / 2)
    # What each prompt adds to 2.5: a -2/6 - 1/4, b 1/4, c 2/6; the seeds agree on a and b, so nothing else varies.
    assert found.standard_error == pytest.approx((3 / 2 * ((7 / 12) ** 2 + (1 / 4) ** 2 + (1 / 3) ** 2)) ** 0.5)


def test_census_and_maximum() -> None:
    assert (census([[item("a", 1), item("b", -4)]]).value, maximum([[item("a", 1), item("b", -4)]]).value) == (
        -1.5,
        4,
    )
    [found] = measure("t", [Column(metric="m", header="m", estimator="census")], [[item("a", 1)], [item("a", 3)]])
    assert (found.value, found.standard_error, found.degrees) == pytest.approx((2.0, 1.0, 1.0))
    assert found.split == pytest.approx({"seeds": 2**0.5})


def test_measure_counts_what_is_unscored_and_never_uses_it() -> None:
    columns = [M, Column(metric="other", header="o", estimator="census")]
    scores = [item("a", 2), item("b", 4), item("c", None), item("a", 9, metric="other")]
    first, second = measure("chat", columns, [scores])
    assert (first.task, first.metric, first.value, first.n, first.n_unscored) == ("chat", "m", 3.0, 2, 1)
    assert first.standard_error == pytest.approx(1.0)
    assert (second.value, second.standard_error, second.n, second.n_unscored) == (9.0, None, 1, 0)


def test_measure_without_any_score() -> None:
    found = cell([[item("a", None)], [item("a", 1)]])
    assert (found.value, found.standard_error, found.n, found.n_unscored, found.num_seeds) == (None, None, 1, 1, 2)
    assert (cell([]).value, cell([]).n) == (None, 0)


def test_an_estimator_from_elsewhere() -> None:
    column = Column(metric="m", header="m", estimator="seven")
    [found] = measure("t", [column], [[item("a", 1)]], {"seven": lambda _: Sample.census(np.array([7.0]))})
    assert found.value == 7.0
    with pytest.raises(UsageError, match="unknown estimator 'seven'; known: mean, ratio, census, max"):
        measure("t", [column], [[item("a", 1)]])


def test_clusters_are_the_unit() -> None:
    """Ten copies of every answer bring no information: the same interval."""
    values = np.random.default_rng(1).normal(size=40)
    once = cell([[item(f"p{i}", float(value)) for i, value in enumerate(values)]])
    often = cell([[item(f"p{i}", float(value), turn) for i, value in enumerate(values) for turn in range(10)]])
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))


def test_the_split_finds_what_was_put_in() -> None:
    draw = np.random.default_rng(2)
    values_SC = 2 * draw.normal(size=(1, 2000)) + draw.normal(size=(400, 2000)) + 0.5 * draw.normal(size=(400, 1))
    found = split(Sample.linear([f"{i:04}" for i in range(2000)], values_SC))
    assert found == pytest.approx({"prompts": 2.0, "rest": 1.0, "seeds": 0.5}, rel=0.08)


def test_one_seed_cannot_tell_prompts_from_the_rest() -> None:
    found = cell(table(np.array([[1.0, 2, 3]])))
    assert found.split == pytest.approx({"prompts": 1.0})


def test_several_samples_of_a_prompt_tell_what_sampling_brings() -> None:
    draw = np.random.default_rng(3)
    scores = []
    for prompt in range(3000):
        own = 2 * draw.normal()
        for sample in range(4):
            name = f"p{prompt}:1" + (f"#{sample}" if sample else "")
            scores.append(Score(name, f"p{prompt}", "m", own + 1.5 * draw.normal()))
    assert cell([scores]).split == pytest.approx({"prompts": 2.0, "sampling": 1.5}, rel=0.05)


def test_turns_are_no_samples() -> None:
    assert "sampling" not in cell([[item(f"p{i}", float(i + turn), turn) for i in range(9) for turn in (1, 2)]]).split


def test_both_orders_of_a_judgment_tell_what_the_judge_brings() -> None:
    sides = [("A", "B"), ("A", "A"), ("B", "A"), ("tie", "tie")]  # model as A, then as B: win, torn, loss, tie
    values = [100.0, 50.0, 0.0, 50.0]
    scores = [
        Score(f"p{i}", f"p{i}", "m", value, detail={"orders": list(orders)})
        for i, (orders, value) in enumerate(zip(sides, values, strict=True))
    ]
    assert cell([scores]).split["judge"] == pytest.approx((100**2 / 2 / 4) ** 0.5)  # one of four is torn


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(-100, 100))
def test_the_interval_moves_with_the_data(values: list[float], shift: float) -> None:
    one, moved = cell(table(np.array([values]))), cell(table(np.array([values]) + shift))
    assert one.low is not None
    assert moved.low == pytest.approx(one.low + shift, rel=1e-6, abs=1e-5)


def test_names_of_estimators() -> None:
    assert list(ESTIMATORS) == ["mean", "ratio", "census", "max"]
    assert ESTIMATORS["mean"] is mean
