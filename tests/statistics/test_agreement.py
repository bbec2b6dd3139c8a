"""Rows that answer alike, by worked examples and by the committed reference run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

from ropo_bench.statistics.agreement import Alike, agreement, groups_alike

REFERENCE = Path(__file__).parents[2] / "results" / "pocket" / "scores.jsonl.gz"


def test_agreement_is_the_share_of_equal_scores() -> None:
    a, b = np.array([[1.0, 2, 3, 4]]), np.array([[1.0, 2, 0, 4]])
    assert agreement(a, b) == 0.75
    assert agreement(a, a + 1e-12) == 1
    assert agreement(np.array([[1.0, np.nan, 3]]), np.array([[1.0, 2, np.nan]])) == 1
    assert agreement(np.array([[np.nan]]), np.array([[1.0]])) is None


def test_a_row_of_one_seed_is_compared_with_every_seed_of_another() -> None:
    assert agreement(np.array([[1.0, 2]]), np.array([[1.0, 2], [1, 0]])) == 0.75
    assert agreement(np.zeros((2, 3)), np.zeros((3, 3))) is None


def test_every_two_of_a_group_agree() -> None:
    base = np.zeros((1, 100))
    near, nearer = base.copy(), base.copy()
    near[0, :1], nearer[0, 1:2] = 1, 1  # 99 % of base each, 98 % of one another
    found = groups_alike({"a": base, "b": near, "c": nearer, "d": base + 5})
    assert found == [Alike(("a", "b"), 0.99)]
    assert groups_alike({"a": base, "b": near, "c": nearer}, least=0.98) == [Alike(("a", "b", "c"), 0.98)]
    assert groups_alike({"a": base}) == []


def test_the_committed_reference_run_has_the_groups_that_its_scores_have() -> None:
    values: dict[str, list[list[float]]] = {}
    with gzip.open(REFERENCE, "rt") as lines:
        for record in map(json.loads, lines):
            if record["task"].startswith("pocket-arena") and record["metric"] == "win_rate":
                for row, seeds in record["rows"].items():
                    values.setdefault(row, []).append(
                        [seed["value"] if isinstance(seed, dict) else seed for seed in seeds]
                    )
    scores = {row: np.array(items).T for row, items in values.items()}
    assert groups_alike(scores)
    for group in groups_alike(scores):
        for a in group.rows:
            for b in group.rows:
                same = np.broadcast_arrays(scores[a], scores[b])
                assert (same[0] == same[1]).mean() >= 0.99
    dpo, kto = agreement(scores["dpo"], scores["kto-pair"]), agreement(scores["dpo"], scores["r-dpo"])
    assert dpo is not None
    assert kto is not None
    assert dpo >= kto
