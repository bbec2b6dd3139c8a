"""Everything that a report shows, and what it cannot show yet, gathered from the store alone."""

from __future__ import annotations

from typing import Any

from ropo_bench.leaderboard import leaderboard
from ropo_bench.report.sections import SECTIONS, plugin_sections
from ropo_bench.report.sections.section import Part, ReportData, Section
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.runs.reading import Run


def gather(run: Run, against: str | None = None) -> ReportData:
    """The data of a report on a run, finished or not; raises UsageError where it has no row `against`."""
    board = leaderboard(run, against)
    stored = StoredRun(run, board)
    return ReportData(board, [_part(section, stored) for section in (*SECTIONS, *plugin_sections())])


def _part(section: Section[Any], run: StoredRun) -> Part[Any]:
    data = section.gather(run)
    return Part(section, data, section.left_out(run, data))
