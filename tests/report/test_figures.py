"""Figures: the same bytes for the same data, readable in any colour, safe inside a page."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.report.figures import FORMATS, file_bytes, inline_svg
from ropo_bench.report.figures.style import INK, marks
from ropo_bench.report.sections import SECTIONS, drift, tradeoffs, win_rates
from ropo_bench.report.sections.section import Part, ReportData, Section
from tests.report.page_example import draw, report_data, stored, with_lengths

HOSTILE = 'a & <b> "$x^2$"'


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    return with_lengths(report_data(count=2)).figures()


def texts(figure: Any) -> list[str]:
    tags = ET.fromstring(file_bytes(figure, "a", "svg")).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(tag.itertext()) for tag in tags]


def test_every_figure_is_a_section_and_is_drawn_when_there_is_data(drawn: dict[str, Any]) -> None:
    assert list(drawn) == [section.name for section in SECTIONS if section.draw is not None]
    assert [section.name for section in SECTIONS if section.draw is None] == ["samples"]


def test_nothing_is_drawn_of_nothing() -> None:
    nothing = stored(Leaderboard("nothing", [], []))
    parts = [Part(section, section.gather(nothing)) for section in (win_rates.SECTION, tradeoffs.PARAMETERS)]
    assert ReportData(nothing.board, parts).figures() == {}


@pytest.mark.parametrize(
    "section", [win_rates.SECTION, tradeoffs.PARAMETERS, drift.ANGLE], ids=lambda section: section.name
)
def test_the_same_data_give_the_same_bytes(drawn: dict[str, Any], section: Section[Any]) -> None:
    name, again = section.name, draw(section, with_lengths(report_data(count=2)))
    assert again is not None
    for kind in FORMATS:
        first = file_bytes(drawn[name], name, kind)
        assert first == file_bytes(again, name, kind)
        assert first == file_bytes(drawn[name], name, kind)  # saving changes nothing


def test_names_of_rows_are_text_and_escaped() -> None:
    data = with_lengths(report_data(count=2))
    rows = [replace(row, name=HOSTILE) if row.name == "ropo" else row for row in data.board.rows]
    renamed = stored(replace(data.board, rows=rows))
    figure = Part(win_rates.SECTION, win_rates.gather(renamed)).figure(renamed.board)
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
    found = marks(with_lengths(report_data(count=2)).board)
    assert found["SFT"].colour == INK
    assert len(set(found.values())) == len(found)
    assert len({mark.marker for mark in found.values()}) == len(found)  # in black and white
