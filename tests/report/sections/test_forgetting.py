"""What a method forgot, by sub-task or kind of question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ropo_bench.report.sections.forgetting import gather
from ropo_bench.types import Score
from tests.report.stored_example import stored, task


def test_forgetting_is_the_difference_to_the_base_by_sub_task(tmp_path: Path) -> None:
    def scores(right: Mapping[str, Sequence[int]]) -> list[Score]:
        return [
            Score(f"{part}-{i}", f"{part}-{i}", metric, 100.0 * value)
            for part, values in right.items()
            for i, value in enumerate(values)
            for metric in ("accuracy", f"accuracy/{part}")
        ]

    rows = {"SFT": [scores({"a": [1, 1, 1, 0], "b": [1, 0]})], "dpo": [scores({"a": [1, 0, 0, 0], "b": [1, 1]})]}
    found = gather(stored(tmp_path, task("facts", "accuracy"), rows)) or []
    assert [(each.row, each.part, each.difference.estimate, each.difference.n) for each in found] == [
        ("dpo", "a", -50.0, 4),
        ("dpo", "b", 50.0, 2),
    ]


def test_forgetting_is_by_kind_of_question_where_there_are_no_sub_tasks(tmp_path: Path) -> None:
    def scores(*right: int) -> list[Score]:
        kinds = ("job", "job", "food", "food")
        pairs = enumerate(zip(right, kinds, strict=True))
        return [Score(f"q{i}", f"q{i}", "accuracy", 100.0 * value, detail={"kind": k}) for i, (value, k) in pairs]

    rows = {"SFT": [scores(1, 1, 0, 1)], "dpo": [scores(0, 1, 1, 1), scores(0, 1, 0, 1)]}
    found = gather(stored(tmp_path, task("facts", "accuracy"), rows)) or []
    assert {each.part: each.difference.estimate for each in found} == {"job": -50.0, "food": 25.0}
