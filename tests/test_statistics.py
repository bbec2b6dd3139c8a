from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.errors import UsageError
from ropo_bench.statistics import (
    ESTIMATORS,
    Estimate,
    bootstrap_clusters,
    census,
    holm,
    maximum,
    mean,
    measure,
    minimum_detectable_effect,
    paired_difference,
)
from ropo_bench.tasks import Column
from ropo_bench.types import Score


def item(cluster: str, value: float | None, turn: int = 0, metric: str = "m") -> Score:
    status = "scored" if value is not None else "unparsable"
    return Score(f"{cluster}:{turn}", cluster, metric, value, status)  # type: ignore[arg-type]


def table(values_SC: np.ndarray) -> list[list[Score]]:
    return [[item(f"p{c}", float(value)) for c, value in enumerate(row)] for row in values_SC]


def test_mean_worked_example() -> None:
    # prompts a: (2 + 4)/2 = 3, b: 5, c: 7 -> mean 5, sd 2, SE 2/sqrt(3)
    scores = [item("a", 2, 1), item("a", 4, 2), item("b", 5), item("c", 7)]
    assert mean([scores]) == pytest.approx((5.0, 2 / 3**0.5))


def test_two_seeds_worked_example() -> None:
    # seed means 2 and 4, prompt means 2, 3, 4 and no interaction: 1/3 from prompts, 2/2 from seeds
    values_SC = np.array([[1.0, 2, 3], [3.0, 4, 5]])
    assert mean(table(values_SC)) == pytest.approx((3.0, (1 / 3 + 1) ** 0.5))


def test_one_prompt_has_no_error() -> None:
    assert mean([[item("a", 3, 1), item("a", 4, 2)]]) == Estimate(3.5, None)


def test_seed_that_lacks_a_prompt_still_counts() -> None:
    seeds = [[item("a", 1), item("b", 3), item("c", 5)], [item("a", 1), item("b", 3)]]
    value, error = mean(seeds)
    assert value == pytest.approx((3 + 2) / 2)
    assert error == pytest.approx(1.0)  # over a and b: sd sqrt(2), n 2, the seeds agree


def test_census_and_maximum_have_no_sampling_error() -> None:
    assert census([[item("a", 1), item("b", -4)]]) == Estimate(-1.5, None)
    assert maximum([[item("a", 1), item("b", -4)]]) == Estimate(4.0, None)
    assert census([[item("a", 1)], [item("a", 3)]]) == pytest.approx((2.0, 1.0))


def test_measure_counts_what_is_unscored_and_never_uses_it() -> None:
    columns = [Column(metric="m", header="m"), Column(metric="other", header="o", estimator="census")]
    scores = [item("a", 2), item("b", 4), item("c", None), item("a", 9, metric="other")]
    first, second = measure("chat", columns, [scores])
    assert (first.task, first.metric, first.value, first.n, first.n_unscored) == ("chat", "m", 3.0, 2, 1)
    assert first.standard_error == pytest.approx(1.0)
    assert (second.value, second.standard_error, second.n, second.n_unscored) == (9.0, None, 1, 0)


def test_measure_without_any_score() -> None:
    [cell] = measure("chat", [Column(metric="m", header="m")], [[item("a", None)], [item("a", 1)]])
    assert (cell.value, cell.standard_error, cell.n, cell.n_unscored, cell.num_seeds) == (None, None, 1, 1, 2)
    [cell] = measure("chat", [Column(metric="m", header="m")], [])
    assert (cell.value, cell.n) == (None, 0)


def test_measure_with_an_estimator_from_elsewhere() -> None:
    columns = [Column(metric="m", header="m", estimator="seven")]
    [cell] = measure("t", columns, [[item("a", 1)]], {"seven": lambda _: Estimate(7.0, 0.7)})
    assert (cell.value, cell.standard_error) == (7.0, 0.7)
    with pytest.raises(UsageError, match="unknown estimator 'seven'; known: mean, census, max"):
        measure("t", columns, [[item("a", 1)]])


def coverage(num_seeds: int, seed_sd: float, trials: int = 1500, num_prompts: int = 60) -> float:
    """How often mean +- 1.96 SE holds the truth; prompts, seeds and the rest are random."""
    draw = np.random.default_rng(0)
    prompt_T1C = draw.normal(size=(trials, 1, num_prompts))
    seed_TS1 = draw.normal(size=(trials, num_seeds, 1)) * seed_sd
    values_TSC = prompt_T1C + seed_TS1 + 0.7 * draw.normal(size=(trials, num_seeds, num_prompts))
    held = 0
    for values_SC in values_TSC:
        value, error = mean(table(values_SC))
        assert error is not None
        held += abs(value) <= 1.96 * error
    return held / trials


def test_interval_of_one_checkpoint_covers() -> None:
    assert 0.93 <= coverage(1, 0.0, trials=4000) <= 0.97


def test_interval_over_many_seeds_covers() -> None:
    assert 0.92 <= coverage(20, 0.3, trials=300) <= 0.98


def test_interval_over_seeds_without_seed_noise_is_not_too_wide() -> None:
    assert 0.92 <= coverage(3, 0.0, trials=600) <= 0.98


def test_clusters_are_the_unit() -> None:
    """Ten copies of every answer bring no information: the same error."""
    draw = np.random.default_rng(1)
    values = draw.normal(size=40)
    once = [item(f"p{i}", float(value)) for i, value in enumerate(values)]
    often = [item(f"p{i}", float(value), turn) for i, value in enumerate(values) for turn in range(10)]
    assert mean([often]) == pytest.approx(mean([once]))


def test_bootstrap_of_a_mean_is_the_analytic_error() -> None:
    draw = np.random.default_rng(2)
    values_SC = draw.normal(size=(3, 50)) + draw.normal(size=(3, 1))
    analytic = mean(table(values_SC))
    found = bootstrap_clusters(lambda index: values_SC[:, index].mean(axis=1), 50, replicates=2000)
    assert found.value == pytest.approx(analytic.value)
    assert found.standard_error == pytest.approx(analytic.standard_error, rel=0.05)
    again = bootstrap_clusters(lambda index: values_SC[:, index].mean(axis=1), 50, replicates=2000)
    assert again == found


def test_paired_difference_worked_example() -> None:
    a = [item("p", 5), item("q", 7), item("r", 9), item("only-a", 100)]
    b = [item("p", 4), item("q", 5), item("r", 6), item("only-b", -100), item("lost", None)]
    found = paired_difference(a, b)
    assert (found.estimate, found.n) == (2.0, 3)
    assert found.standard_error == pytest.approx(1 / 3**0.5)
    assert found.p_value == pytest.approx(0.0742, abs=5e-5)  # t = 3.4641 with 2 degrees of freedom


def test_paired_difference_is_antisymmetric_and_zero_for_the_same() -> None:
    draw = np.random.default_rng(3)
    a, b = (table(draw.normal(size=(1, 30)))[0] for _ in range(2))
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert one.estimate == -other.estimate
    assert (one.p_value, one.standard_error) == (other.p_value, other.standard_error)
    same = paired_difference(a, a)
    assert (same.estimate, same.p_value) == (0.0, 1.0)


def test_paired_difference_needs_two_common_prompts() -> None:
    with pytest.raises(UsageError, match=r"1 prompt\(s\) scored for both"):
        paired_difference([item("a", 1), item("b", 1)], [item("a", 2), item("b", None)])


def test_p_values_are_uniform_when_nothing_differs() -> None:
    draw = np.random.default_rng(4)
    p_values = []
    for _ in range(1000):
        prompt = draw.normal(size=25) * 3  # what methods share must not matter
        a, b = (table((prompt + draw.normal(size=25))[None])[0] for _ in range(2))
        p_values.append(paired_difference(a, b).p_value)
    gap = np.abs(np.sort(p_values) - (np.arange(1000) + 0.5) / 1000).max()
    assert gap < 1.63 / 1000**0.5  # Kolmogorov-Smirnov at 1 %


def test_minimum_detectable_effect_keeps_its_promise() -> None:
    assert minimum_detectable_effect(1.0) == pytest.approx(2.8016, abs=1e-4)
    draw = np.random.default_rng(5)
    n, trials = 80, 1000
    effect = minimum_detectable_effect(1 / n**0.5)
    found = 0
    for values in draw.normal(effect, 1, size=(trials, n)):
        found += paired_difference(table(values[None])[0], table(np.zeros((1, n)))[0]).p_value < 0.05
    assert found / trials == pytest.approx(0.8, abs=0.04)


def test_holm_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_between_the_raw_and_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for raw, new in zip(p_values, adjusted, strict=True):
        assert raw <= new <= min(1.0, raw * len(p_values)) or new == pytest.approx(raw)
    by_raw = [adjusted[i] for i in np.argsort(p_values, kind="stable")]
    assert by_raw == sorted(by_raw)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(-100, 100))
def test_mean_moves_with_the_data(values: list[float], shift: float) -> None:
    value, error = mean(table(np.array([values])))
    moved = mean(table(np.array([values]) + shift))
    assert moved.value == pytest.approx(value + shift, abs=1e-6)
    assert moved.standard_error == pytest.approx(error, rel=1e-6, abs=1e-6)


def test_names_of_estimators() -> None:
    assert list(ESTIMATORS) == ["mean", "census", "max"]
