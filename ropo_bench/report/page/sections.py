"""The report's sections as the page shows them, in the order of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ropo_bench.report.page.embed import Drawing, drawing
from ropo_bench.report.sections.section import Part, ReportData
from ropo_bench.report.sections.tables import PlainTable


@dataclass(frozen=True, slots=True)
class ShownSection:
    """A section with its figure, its tables, and what is left out of it; or with a template of its own.

    listed: whether the contents lead to it.
    """

    name: str
    title: str
    caption: str
    drawing: Drawing | None
    tables: Sequence[PlainTable]
    left_out: str | None
    template: str | None
    details: Mapping[str, Any]
    listed: bool


def shown_sections(data: ReportData, svgs: Mapping[str, str]) -> list[ShownSection]:
    """The sections that have something to show or to say; svgs: section -> its figure as an element."""
    sections = [_show(part, data, svgs.get(part.section.name)) for part in data.parts]
    return [section for section in sections if section.listed or section.left_out]


def _show(part: Part[Any], data: ReportData, svg: str | None) -> ShownSection:
    section, tables = part.section, part.tables()
    return ShownSection(
        name=section.name,
        title=section.title,
        caption=section.caption,
        drawing=None if svg is None else drawing(section.name, svg, section.title),
        tables=tables,
        left_out=part.left_out,
        template=section.template,
        details=part.details(data.board),
        listed=svg is not None or bool(tables) or section.template is not None,
    )
