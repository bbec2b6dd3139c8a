"""Win rates as a forest plot."""

from __future__ import annotations

from ropo_bench.report.sections.win_rates import SECTION
from tests.report.page_example import draw, points, report_data


def test_a_forest_plot_has_a_mark_and_an_interval_a_measured_row() -> None:
    data = report_data()
    figure = draw(SECTION, data)
    assert figure is not None
    (panel,) = figure.axes
    cells = {
        row.name: row.cells[("pocket-arena", "win_rate")] for row in data.board.rows if row.name in ("dpo", "ropo")
    }
    assert points(panel) == [(cells[row].value, place) for place, row in enumerate(("dpo", "ropo"))]
    intervals = [list(line.get_xdata()) for line in panel.lines if len(line.get_xdata()) == 2]
    assert [cells["dpo"].low, cells["dpo"].high] in intervals
    assert [50.0, 50.0] not in intervals[:2]  # SFT against itself says nothing
    assert [label.get_text() for label in panel.get_yticklabels()] == ["dpo", "ropo"]
