"""From the name of a run to everything that its report shows, and what it cannot show yet."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import leaderboard
from ropo_bench.recipes.plugins import plugin_packages
from ropo_bench.report.sections import (
    categories,
    distinct_n,
    drift,
    forgetting,
    learning_rates,
    samples,
    tradeoffs,
    trajectories,
    win_rates,
)
from ropo_bench.report.sections.section import Part, ReportData, Section
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.report.trained import Shelf
from ropo_bench.runs.reading import Run

SECTIONS: Sequence[Section[Any]] = (
    win_rates.SECTION,
    tradeoffs.LENGTH,
    tradeoffs.PARAMETERS,
    tradeoffs.SECONDS,
    learning_rates.SECTION,
    categories.SECTION,
    trajectories.SECTION,
    drift.ENERGY,
    drift.ANGLE,
    distinct_n.SECTION,
    forgetting.SECTION,
    samples.SECTION,
)
"""In the order of the report, below the leaderboard. A new section is one file and one line here."""


def gather(run: Run, against: str | None = None) -> ReportData:
    """The data of a report on a run, finished or not; raises UsageError where it has no row `against`."""
    board = leaderboard(run, against)
    stored = StoredRun(Shelf(run), board)
    return ReportData(board, [_part(section, stored) for section in (*SECTIONS, *plugin_sections())])


def plugin_sections() -> list[Section[Any]]:
    """The sections that installed plugins give: `SECTIONS` of their package; raises UsageError for a broken one."""
    sections: list[Section[Any]] = []
    for name, package in plugin_packages().items():
        try:
            sections += getattr(import_module(package), "SECTIONS", ())
        except ImportError as error:
            raise UsageError(f"plugin {name}: cannot import {package}: {error}; install it again") from error
    return sections


def _part(section: Section[Any], run: StoredRun) -> Part[Any]:
    data = section.gather(run)
    return Part(section, data, section.left_out(run, data))
