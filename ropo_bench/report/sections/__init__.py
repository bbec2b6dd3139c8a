"""The sections of a report in their order, one file each."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ropo_bench.errors import UsageError
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
from ropo_bench.report.sections.section import Section

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
"""Below the leaderboard. A new section is one file and one line here."""


def plugin_sections() -> list[Section[Any]]:
    """The sections that installed plugins give: `SECTIONS` of their package; raises UsageError for a broken one."""
    sections: list[Section[Any]] = []
    for name, package in plugin_packages().items():
        try:
            sections += getattr(import_module(package), "SECTIONS", ())
        except ImportError as error:
            raise UsageError(f"plugin {name}: cannot import {package}: {error}; install it again") from error
    return sections
