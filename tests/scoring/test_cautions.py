"""What stands beside a cell whose number does not say it all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ropo_bench.recipes.load import load_task
from ropo_bench.scoring.cautions import find_cautions
from ropo_bench.scoring.length_control import length_shift, shift_caution
from ropo_bench.types import Score


def battles(shift: float, n: int = 200) -> list[Score]:
    deltas = np.random.default_rng(0).normal(shift, 1.0, n)
    return [
        Score(f"p{i}", f"p{i}", metric, 50.0, detail={"length_delta": float(100 * delta), "difficulty": 0.0})
        for i, delta in enumerate(deltas)
        for metric in ("win_rate", "lc_win_rate")
    ]


def test_shift_by_hand() -> None:
    assert length_shift(np.array([1.0, 3.0])) == pytest.approx(2 / 2**0.5)
    assert length_shift(np.array([5.0, 5.0])) == math.inf
    assert length_shift(np.array([-5.0])) == -math.inf
    assert length_shift(np.zeros(4)) == 0.0


@pytest.mark.parametrize(("shift", "said"), [(1.8, None), (-1.8, None), (2.5, "2.6 standard deviations shorter")])
def test_a_table_warns_beyond_two_standard_deviations(shift: float, said: str | None) -> None:
    cautions = find_cautions(load_task("pocket-arena").columns, [battles(0.0), battles(shift)])
    if said is None:
        assert cautions == []
        return
    [caution] = cautions  # of the length-controlled column alone
    assert caution.startswith("lc_win_rate: answers are ")
    assert said in caution
    assert "over 200 battles" in caution


def test_the_side_of_the_shift() -> None:
    longer = shift_caution(-2.5, 40)
    assert longer is not None
    assert "2.5 standard deviations longer" in longer
    assert shift_caution(2.0, 40) is None


def test_the_other_mean_is_named_where_it_is_another_number() -> None:
    grades = {"81": (8.0, 2.0), "82": (9.0, None), "83": (7.0, 3.0), "84": (10.0, None)}
    scores = [
        Score(f"{q}:{turn}", q, "score_corrected", grade, "scored" if grade is not None else "unparsable")
        for q, turns in grades.items()
        for turn, grade in enumerate(turns, 1)
    ]
    columns = load_task("mt-bench").columns
    [caution] = find_cautions(columns, [scores])
    assert caution.startswith("score_corrected 6.50 is the mean over scored items")
    assert caution.endswith("the mean of prompts' means is 7.25")
    complete = [Score(score.item, score.cluster, score.metric, 5.0) for score in scores]
    assert find_cautions(columns, [complete]) == []
