"""From the name of a run to everything that its report shows, and what it cannot show yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ropo_bench.leaderboard import SFT, leaderboard
from ropo_bench.leaderboard.rates import neighbours_of
from ropo_bench.recipes.task import TaskRecipe
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
from ropo_bench.report.trained import Shelf, Trained
from ropo_bench.store import Store

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


def gather(store: Store, name: str, against: str | None = None) -> ReportData:
    """The data of a report on a run, finished or not; raises UsageError where there is no such run."""
    board = leaderboard(store, name, against)
    record = store.read_run(name)
    run = StoredRun(_shelf(store, record), board, record)
    return ReportData(board, [_part(section, run) for section in SECTIONS])


def _part(section: Section[Any], run: StoredRun) -> Part[Any]:
    data = section.gather(run)
    return Part(section, data, section.left_out(run, data))


def _shelf(store: Store, record: Mapping[str, Any]) -> Shelf:
    models: dict[str, list[Trained]] = {}
    neighbours = neighbours_of(record)
    for row in [row for row in record["rows"] if row["name"] not in neighbours]:
        models.setdefault(row["name"], []).append(Trained(row["name"], row["seed"], row))
    methods = frozenset(method["name"] for method in record["request"]["methods"]) - neighbours.keys()
    return Shelf(
        store, models, methods, [TaskRecipe.model_validate(task) for task in record["request"]["tasks"]], SFT
    )
