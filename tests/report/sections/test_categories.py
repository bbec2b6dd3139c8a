"""Grades by category of prompt."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.report.sections.categories import SECTION, gather, left_out
from tests.report.page_example import draw, points, report_data
from tests.report.stored_example import grades, stored, task


def test_a_category_is_measured_over_its_own_prompts(tmp_path: Path) -> None:
    recipe = task("chat", "score", prompts="p", decoding={"max_new_tokens": 8})
    run = stored(tmp_path, recipe, {"SFT": [grades(1, 2, 3, 4)], "dpo": [grades(5, 6, 7, 9), []]})
    found = gather(run) or []
    assert left_out(run, found) == "not there yet: dpo"
    assert [(each.row, each.category, each.measurement.value, each.measurement.n) for each in found] == [
        ("SFT", "even", 2.0, 2),
        ("SFT", "odd", 3.0, 2),
    ]  # dpo waits for its second seed


def test_categories_have_a_panel_each_and_a_mark_a_row() -> None:
    figure = draw(SECTION, report_data())
    assert figure is not None
    assert [panel.get_title("left") for panel in figure.axes] == ["writing", "maths", "advice"]
    assert [len(points(panel)) for panel in figure.axes] == [3, 3, 3]
