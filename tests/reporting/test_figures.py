from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.report.data import SECTIONS, Length, ReportData, Trajectory
from ropo_bench.report.figures import FORMATS, figures, file_bytes, inline_svg
from ropo_bench.report.figures.all import FIGURES, draw
from ropo_bench.report.figures.curves import band, running_mean
from ropo_bench.report.figures.style import INK, marks
from ropo_bench.report.figures.tradeoffs import pareto
from ropo_bench.types import Measurement
from tests.reporting.page_example import report_data

HOSTILE = 'a & <b> "$x^2$"'


def example() -> ReportData:
    """The page's example, with lengths."""
    rows = {"SFT": 30.0, "dpo": 33.0, "ropo": 31.5}
    found = [Length("pocket-arena", row, Measurement("", "", value, 0.5, 9, 0)) for row, value in rows.items()]
    return replace(report_data(count=2), lengths=found)


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    return figures(example())


def texts(figure: Any) -> list[str]:
    tags = ET.fromstring(file_bytes(figure, "a", "svg")).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(tag.itertext()) for tag in tags]


def points(panel: Any) -> list[tuple[float, float]]:
    """Where markers stand: lines of a single point."""
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in panel.lines if len(line.get_xdata()) == 1]


def test_every_figure_is_a_section_and_is_drawn_when_there_is_data(drawn: dict[str, Any]) -> None:
    assert list(drawn) == list(FIGURES)
    assert set(FIGURES) == set(SECTIONS) - {"leaderboard", "samples"}


def test_nothing_is_drawn_of_nothing() -> None:
    assert figures(ReportData("nothing", Leaderboard("nothing", [], []))) == {}


def test_a_forest_plot_has_a_mark_and_an_interval_a_measured_row() -> None:
    data = example()
    figure = draw("win-rates", data)
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


def test_a_curve_has_its_band_its_choice_and_its_failures() -> None:
    figure = draw("learning-rates", example())
    assert figure is not None
    assert [panel.get_title("left") for panel in figure.axes] == ["dpo", "ropo"]
    for panel, curve in zip(figure.axes, example().rate_curves, strict=True):
        line = next(line for line in panel.lines if len(line.get_xdata()) == 5)
        assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == [
            (point.lr, point.value) for point in curve.points[:-1]
        ]
        assert (curve.chosen, curve.points[-2].value) in points(panel)
        assert [p[0] for p in points(panel)].count(curve.points[-1].lr) == 1  # the cross of the failed trial
        assert len(panel.collections) == 1


def test_categories_have_a_panel_each_and_a_mark_a_row() -> None:
    figure = draw("categories", example())
    assert figure is not None
    assert [panel.get_title("left") for panel in figure.axes] == ["writing", "maths", "advice"]
    assert [len(points(panel)) for panel in figure.axes] == [3, 3, 3]


def test_names_stand_beside_their_points_without_covering_each_other() -> None:
    data = example()
    close = [replace(each, measurement=replace(each.measurement, value=31.0)) for each in data.lengths]
    figure = draw("quality-length", replace(data, lengths=close))
    assert figure is not None
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("name", ["win-rates", "quality-parameters", "angle-drift"])
def test_the_same_data_give_the_same_bytes(drawn: dict[str, Any], name: str) -> None:
    again = draw(name, example())
    assert again is not None
    for kind in FORMATS:
        first = file_bytes(drawn[name], name, kind)
        assert first == file_bytes(again, name, kind)
        assert first == file_bytes(drawn[name], name, kind)  # saving changes nothing


def test_names_of_rows_are_text_and_escaped() -> None:
    data = example()
    rows = [replace(row, name=HOSTILE) if row.name == "ropo" else row for row in data.board.rows]
    figure = draw("win-rates", replace(data, board=replace(data.board, rows=rows)))
    assert figure is not None
    assert HOSTILE in texts(figure)


def test_inline_figures_share_no_ids_ask_no_host_and_take_the_pages_ink(drawn: dict[str, Any]) -> None:
    seen: set[str] = set()
    for name, figure in drawn.items():
        element = ET.fromstring(inline_svg(figure, name))
        ids = {found.attrib["id"] for found in element.iter() if "id" in found.attrib}
        assert not ids & seen
        seen |= ids
        values = [value for found in element.iter() for value in found.attrib.values()]
        assert INK not in " ".join(values)
        assert any("currentColor" in value for value in values)
        for value in values:
            assert "//" not in value
            for reference in value.split("url(#")[1:]:
                assert reference.split(")")[0] in ids
            assert not value.startswith("#") or value[1:] in ids
        assert not list(element.iter("{http://www.w3.org/2000/svg}metadata"))


def test_rows_differ_in_colour_and_marker_and_the_reference_is_grey() -> None:
    found = marks(example().board)
    assert found["SFT"].colour == INK
    assert len(set(found.values())) == len(found)
    assert len({mark.marker for mark in found.values()}) == len(found)  # in black and white


def test_the_pareto_front_of_a_worked_example() -> None:
    #          dominated by 0, front,   as cheap as 1 but worse, front
    assert pareto([(2, 5), (3, 4), (1, 3), (1, 2), (4, 9)]) == [2, 0, 4]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1))
def test_the_front_is_what_nothing_dominates(found: list[tuple[int, int]]) -> None:
    front = pareto(found)

    def dominated(place: int) -> bool:
        cost, value = found[place]
        return any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in found)

    assert {found[i] for i in front} == {found[i] for i in range(len(found)) if not dominated(i)}


def test_a_running_mean_keeps_lines_and_length() -> None:
    line = [float(i) for i in range(100)]
    assert running_mean(line)[5:95] == pytest.approx(line[5:95])
    assert running_mean([1.0, 1.0, 1.0]) == [1.0, 1.0, 1.0]


def test_a_band_spans_the_seeds_as_far_as_all_of_them_go() -> None:
    seeds = [Trajectory("a", i, (1, 2, 3)[: 3 - i], {"x": (0.0, 2.0, 9.0)[: 3 - i]}) for i in (0, 1)]
    seeds[1] = replace(seeds[1], values={"x": (1.0, 4.0)})
    found = band(seeds, "x")
    assert found is not None
    assert (found.steps, found.mean, found.low, found.high) == ((1, 2), [0.5, 3.0], [0.0, 2.0], [1.0, 4.0])
    assert band([seeds[0], replace(seeds[1], values={})], "x") is None
