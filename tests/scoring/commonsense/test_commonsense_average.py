"""The unweighted mean of tasks, and its error."""

from __future__ import annotations

import random
from statistics import fmean, stdev, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.recipes.task import Column
from ropo_bench.scoring.commonsense.average import macro_mean
from ropo_bench.statistics.cells import measure
from ropo_bench.statistics.comparisons import compare
from ropo_bench.types import Measurement, Score

MACRO = Column(metric="accuracy", header="commonsense %", estimator="macro_mean")


def average(seeds: list[list[Score]], estimator: str = "macro_mean") -> Measurement:
    column = MACRO.model_copy(update={"estimator": estimator})
    return measure("t", [column], seeds, {"macro_mean": macro_mean})[0]


def scores(values: dict[str, list[float]]) -> list[Score]:
    return [
        Score(f"{task}:{i}", f"{task}:{i}", "accuracy", value, detail={"task": task})
        for task, found in values.items()
        for i, value in enumerate(found)
    ]


def test_a_small_task_counts_as_much_as_a_large_one() -> None:
    large, small = [100.0, 0.0, 0.0, 0.0], [100.0, 100.0, 0.0]
    found = average([scores({"large": large, "small": small})])
    assert found.value == pytest.approx((25 + 200 / 3) / 2)
    assert found.standard_error == pytest.approx((variance(large) / 4 + variance(small) / 3) ** 0.5 / 2)


@given(st.lists(st.sampled_from([0.0, 100.0]), min_size=2, max_size=30), st.integers(1, 3))
def test_of_one_task_it_is_the_mean(values: list[float], num_seeds: int) -> None:
    draw = random.Random(0)
    seeds = [scores({"a": draw.sample(values, len(values))}) for _ in range(num_seeds)]
    found, plain = average(seeds), average(seeds, "mean")
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high))


def test_a_standard_error_is_the_spread_over_repeated_draws() -> None:
    """Three tasks of unlike size and accuracy; the seeds shift all tasks together, which adds to the spread."""
    draw = random.Random(1)
    sizes = {"a": (80, 0.8), "b": (30, 0.5), "c": (12, 0.3)}

    def table(num_seeds: int, spread: float) -> list[list[Score]]:
        luck = {task: [draw.random() for _ in range(n)] for task, (n, _) in sizes.items()}
        shifts = [draw.gauss(0, spread) for _ in range(num_seeds)]
        # Items are the same for all seeds, so that what one seed finds hard the others do too.
        return [
            scores({task: [100.0 * (u < sizes[task][1] + shift) for u in luck[task]] for task in sizes})
            for shift in shifts
        ]

    for num_seeds, spread in ((1, 0.0), (3, 0.1)):
        found = [average(table(num_seeds, spread)) for _ in range(400)]
        told = fmean((one.standard_error or 0.0) ** 2 for one in found) ** 0.5
        assert stdev([one.value or 0.0 for one in found]) == pytest.approx(told, rel=0.12)


def test_one_item_of_a_task_has_no_standard_error() -> None:
    found = average([scores({"a": [100.0, 0.0], "b": [0.0]})])
    assert (found.value, found.standard_error) == (25.0, None)


def test_an_item_that_one_seed_lacks_counts_where_it_is() -> None:
    first, second = scores({"a": [100.0, 0.0, 100.0]}), scores({"a": [100.0, 0.0]})
    found = average([first, second])
    assert found.value == pytest.approx((200 / 3 + 50) / 2)
    # What each item adds to the average; the seeds agree on the two that both have, so nothing else varies.
    shares = [100 / 3 / 6 + 50 / 4, -200 / 3 / 6 - 50 / 4, 100 / 3 / 6]
    assert found.standard_error == pytest.approx((3 / 2 * sum(share**2 for share in shares)) ** 0.5)


def test_a_seed_without_any_item_of_a_task() -> None:
    found = average([scores({"a": [100.0, 0.0], "b": [100.0, 100.0]}), scores({"a": [0.0, 0.0]})])
    # The mean over seeds of what each has: (50 + 100)/2 and 0. No item of b is common, so no error.
    assert (found.value, found.standard_error) == (pytest.approx((75 + 0) / 2), None)


def test_tasks_may_name_their_items_alike() -> None:
    alike = [Score("0", "0", "accuracy", 100.0 * (task == "a"), detail={"task": task}) for task in ("a", "b")]
    assert average([alike]).value == 50.0


def test_rows_are_compared_stratum_by_stratum() -> None:
    a = scores({"large": [100.0, 0.0, 100.0, 100.0], "small": [100.0, 0.0]})
    b = scores({"large": [0.0, 0.0, 0.0, 100.0], "small": [100.0, 0.0]})
    [found] = compare("t", [MACRO], {"a": [a], "b": [b]}, {"macro_mean": macro_mean}, [("a", "b")])
    assert (found.estimate, found.n, found.test) == (25.0, 6, "sign flips")
