"""Sign flips and McNemar, against all of them and statsmodels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels

from ropo_bench.statistics.permutation import _MOST_SIGNS, MORE_FLIPS, mcnemar, sign_flips


@pytest.mark.parametrize("seed", range(6))
def test_mcnemar_is_that_of_statsmodels(seed: int) -> None:
    draw = np.random.default_rng(seed)
    a, b = 100.0 * (draw.random((2, 40)) < np.array([[0.7], [0.4]]))
    counts = [[int(((a == x) & (b == y)).sum()) for y in (0, 100)] for x in (0, 100)]
    assert mcnemar(counts[1][0], counts[0][1]) == pytest.approx(mcnemar_of_statsmodels(counts, exact=True).pvalue)


def test_mcnemar_without_a_flip() -> None:
    assert mcnemar(0, 0) == 1.0


def test_sign_flips_come_near_all_of_them() -> None:
    values = np.array([3.0, 1.0, -0.5, 2.0, 0.7, -1.1, 0.2, 1.4])
    sums = np.abs(np.array(list(product((1, -1), repeat=8))) @ values)
    exact = (sums >= abs(values.sum()) - 1e-12).mean()
    assert sign_flips(values[None])[0] == pytest.approx(exact, abs=0.015)


def test_sign_flips_do_not_depend_on_scale_sign_or_company() -> None:
    draw = np.random.default_rng(0)
    table_PC = draw.normal(0.1, 1, size=(5, 30))
    found = sign_flips(table_PC)
    assert sign_flips(-100 * table_PC) == pytest.approx(found)
    assert [float(sign_flips(row[None])[0]) for row in table_PC] == pytest.approx(list(found))


def test_a_p_value_is_never_zero_and_goes_below_a_large_tables_level() -> None:
    [p_value] = sign_flips(np.ones((1, 100)))
    assert 1 / (2 * MORE_FLIPS) < p_value < 1e-4 / 4


def test_many_clusters_are_flipped_in_parts() -> None:
    table_PC = np.zeros((1, 4000))
    table_PC[0, :4] = 1.0  # of 16 patterns of signs, 2 are as far out
    assert len(table_PC[0]) * 5000 > _MOST_SIGNS
    assert sign_flips(table_PC)[0] == pytest.approx(2 / 16, abs=0.02)


def test_no_difference_at_all() -> None:
    assert list(sign_flips(np.zeros((1, 10)))) == [1.0]
