"""Score against learning rate."""

from __future__ import annotations

from ropo_bench.report.sections.learning_rates import SECTION
from tests.report.page_example import draw, points, report_data


def test_a_curve_has_its_band_its_choice_and_its_failures() -> None:
    data = report_data()
    figure = draw(SECTION, data)
    assert figure is not None
    assert [panel.get_title("left") for panel in figure.axes] == ["dpo", "ropo"]
    for panel, curve in zip(figure.axes, data.of(SECTION) or [], strict=True):
        line = next(line for line in panel.lines if len(line.get_xdata()) == 5)
        assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == [
            (point.lr, point.value) for point in curve.points[:-1]
        ]
        assert (curve.chosen, curve.points[-2].value) in points(panel)
        assert [p[0] for p in points(panel)].count(curve.points[-1].lr) == 1  # the cross of the failed trial
        assert len(panel.collections) == 1
