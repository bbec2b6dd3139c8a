"""The mean over rows where prompts differ in their rows: value, error, comparisons."""

from __future__ import annotations

import numpy as np
import pytest

from ropo_bench.recipes.task import Column
from ropo_bench.statistics.cells import measure
from ropo_bench.statistics.comparisons import compare
from ropo_bench.statistics.estimators import mean, ratio
from ropo_bench.types import Score
from tests.statistics.score_tables import item

RATIO = Column(metric="m", header="m", estimator="ratio")


def uneven(seed: int, prompts: int = 300) -> list[Score]:
    """Prompts of one or two rows, the second missing where a prompt is hard."""
    draw = np.random.default_rng(seed)
    scores = []
    for p in range(prompts):
        own = draw.normal()
        turns = (1,) if own + draw.normal() < -0.5 else (1, 2)
        scores += [item(f"p{p:03}", own + draw.normal(), turn) for turn in turns]
    return scores


def test_worked_example() -> None:
    # a: 2, 4; b: 9. Rows: 15/3 = 5 (prompts' means: 6). Residuals T - 5 N: -4 and 4, over mean N 1.5: -+8/3,
    # whose standard deviation is 3.771, so that the error is 8/3.
    [found] = measure("t", [RATIO], [[item("a", 2, 1), item("a", 4, 2), item("b", 9)]])
    assert (found.value, found.standard_error) == pytest.approx((5.0, 8 / 3))
    assert found.n == 3


def test_rows_as_many_are_the_mean_exactly() -> None:
    scores = [[item(name, value, turn) for name, value in (("a", 100.0), ("b", 0.0)) for turn in (1, 2)]]
    assert ratio(scores).values_SC is not None
    assert np.array_equal(ratio(scores).values_SC, mean(scores).values_SC)  # 0 and 100, so McNemar still applies


def test_the_error_is_that_of_a_bootstrap_over_prompts() -> None:
    scores = uneven(3)
    [found] = measure("t", [RATIO], [scores])
    by_prompt: dict[str, list[float]] = {}
    for score in scores:
        assert score.value is not None
        by_prompt.setdefault(score.cluster, []).append(score.value)
    totals = np.array([(sum(values), len(values)) for values in by_prompt.values()])
    draw = np.random.default_rng(0)
    drawn = [totals[draw.integers(len(totals), size=len(totals))].sum(axis=0) for _ in range(4000)]
    assert found.value == pytest.approx(totals[:, 0].sum() / totals[:, 1].sum())
    assert found.standard_error == pytest.approx(np.std([total / count for total, count in drawn]), rel=0.05)


def test_seeds_of_different_gaps() -> None:
    """Each seed is its own ratio; a prompt that a seed lacks altogether is no part of that seed's."""
    first = [item("a", 2, 1), item("a", 4, 2), item("b", 9)]
    second = [item("a", 1, 1), item("c", 5, 1), item("c", 6, 2)]
    sample = ratio([first, second])
    assert sample.clusters == ("a", "b", "c")
    assert sample.estimates_S == pytest.approx([5.0, 4.0])


def test_a_comparison_is_the_difference_of_ratios() -> None:
    rows = {"x": [uneven(1)], "y": [[*uneven(1), item("p000", 50.0, 3)]]}
    [found] = compare("t", [RATIO], rows, None, [("y", "x")])
    values = {name: [score.value for score in seeds[0] if score.value is not None] for name, seeds in rows.items()}
    assert found.estimate == pytest.approx(np.mean(values["y"]) - np.mean(values["x"]))
