"""Holm's correction against statsmodels; primary comparisons first, families that err in five percent at most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from ropo_bench.statistics.comparisons import compare_samples
from ropo_bench.statistics.multiplicity import adjust, family_p_values, holm, truncated_weight
from ropo_bench.statistics.sample import Sample
from ropo_bench.types import Comparison


def test_holm_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@settings(max_examples=5)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order(p_values: list[float]) -> None:
    by_raw = [holm(p_values)[i] for i in np.argsort(p_values, kind="stable")]
    assert by_raw == sorted(by_raw)


def pair(a: str, b: str, p_value: float, metric: str = "m") -> Comparison:
    return Comparison("t", metric, a, b, 1.0, 1.0, 10.0, 0.0, 2.0, p_value, 50, "sign flips")


def against_sft(comparison: Comparison) -> bool:
    return "SFT" in (comparison.a, comparison.b)


def test_without_primary_comparisons_it_is_holms() -> None:
    made = [pair("a", "SFT", 0.01), pair("b", "SFT", 0.04), pair("a", "b", 0.03)]
    assert [c.adjusted for c in adjust(made)] == pytest.approx(holm([0.01, 0.04, 0.03]))
    assert {c.family for c in adjust(made)} == {None}


def test_primary_comparisons_come_first_and_leave_what_they_free() -> None:
    """Two primary ones of p .01 and .04, one secondary of .002, by hand.

    Truncated Holm with a half: first 2 * .01; then 1/(1/2 + 1/4) * .04 = .0533, which 5 % do not reject. The first
    one leaves (1 - 1/2)/2 = a quarter of the level, at which .002 is .008; it waits for the first, .02.
    """
    made = adjust([pair("a", "SFT", 0.01), pair("b", "SFT", 0.04), pair("a", "b", 0.002)], against_sft)
    assert [c.adjusted for c in made] == pytest.approx([0.02, 0.04 / 0.75, 0.02])
    assert [c.family for c in made] == ["primary", "primary", "secondary"]


def test_nothing_rejected_leaves_nothing() -> None:
    [*_, secondary] = adjust([pair("a", "SFT", 0.9), pair("b", "SFT", 0.9), pair("a", "b", 1e-12)], against_sft)
    assert secondary.adjusted is not None
    assert secondary.adjusted > 0.5


def test_all_rejected_leave_the_whole_level() -> None:
    made = adjust([pair("a", "SFT", 1e-9), pair("b", "SFT", 1e-9), pair("a", "b", 0.03)], against_sft)
    assert made[2].adjusted == pytest.approx(0.03)


def test_a_truncated_test_lies_between_holm_and_bonferroni() -> None:
    assert truncated_weight(10, 10) == pytest.approx(10)
    assert 1 < truncated_weight(1, 10) < 10


def _family(num_methods: int, num_seeds: int, share: float, draw: np.random.Generator) -> list[Comparison]:
    """Methods that are the SFT model in truth; share: of what seeds do, what they do to all methods alike."""
    clusters = [f"p{i}" for i in range(60)]
    common_S = share**0.5 * draw.normal(size=(num_seeds, 1))
    rows = {
        f"m{i}": Sample.linear(
            clusters,
            common_S
            + (1 - share) ** 0.5 * draw.normal(size=(num_seeds, 1))
            + 0.5 * draw.normal(size=(num_seeds, 60)),
        )
        for i in range(num_methods)
    }
    rows["SFT"] = Sample.linear(clusters, np.zeros((1, 60)))
    return compare_samples("t", "m", rows, [(name, "SFT") for name in rows if name != "SFT"])


def test_a_shared_part_counts_once_a_column() -> None:
    family = _family(12, 5, 0.8, np.random.default_rng(0))
    plain = np.minimum(1.0, 12 * np.array([c.p_value for c in family]))
    assert (family_p_values(family, 12, 1) <= plain + 1e-9).all()
    alone = [replace(c, parts={}) for c in family]
    assert family_p_values(alone, 12, 1) == pytest.approx(plain)


@pytest.mark.parametrize("share", [0.0, 0.6, 0.95])
@pytest.mark.slow
def test_primary_families_err_in_five_percent_at_most(share: float) -> None:
    draw = np.random.default_rng(int(100 * share))
    wrong = 0
    for _ in range(250):
        made = adjust(_family(8, 3, share, draw), against_sft)
        wrong += min(c.adjusted or 0.0 for c in made) < 0.05
    assert wrong / 250 < 0.05 + 2 * (0.05 * 0.95 / 250) ** 0.5


def test_one_comparison_that_has_the_shared_part_alone_is_held_at_its_own_level() -> None:
    """Against a method the common part cancels, but for the SFT model's comparison: its level is Bonferroni's."""
    draw = np.random.default_rng(3)
    rows = {
        f"m{i}": Sample.linear(list("abcdefgh"), draw.normal(size=(3, 1)) + draw.normal(size=(3, 8)))
        for i in range(6)
    }
    rows["SFT"] = Sample.linear(list("abcdefgh"), draw.normal(size=(1, 8)) - 9)
    made = compare_samples("t", "m", rows, [(name, "m0") for name in rows if name != "m0"])
    assert [bool(c.parts.get("degrees_common")) for c in made] == [False] * 5 + [True]
    steps = adjust(made, lambda c: "m0" in (c.a, c.b))
    first = min(steps, key=lambda c: c.p_value)
    assert first.adjusted == pytest.approx(min(1.0, 6 * first.p_value), rel=1e-6)
    assert first.a == "SFT"
