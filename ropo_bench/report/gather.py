"""From the name of a run to everything that its report shows, and what it cannot show yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ropo_bench.leaderboard import leaderboard
from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.report import parts, samples, texts, training
from ropo_bench.report.data import ReportData, is_grade, is_win_rate
from ropo_bench.report.rates import rate_curves
from ropo_bench.report.trained import Shelf
from ropo_bench.runs.reading import Run

NONE = "this run has none"
NOTHING_YET = "nothing of it is there yet"
Place = tuple[str, int]
"""A row and one of its seeds."""


def gather(run: Run, against: str | None = None) -> ReportData:
    """The data of a report on a run, finished or not; raises UsageError where it has no row `against`."""
    board = leaderboard(run, against)
    shelf = Shelf(run)
    battles, battles_left_out = samples.battles(shelf)
    data = ReportData(
        title=board.title,
        board=board,
        rate_curves=rate_curves(run.record),
        trajectories=training.trajectories(shelf),
        drifts=training.drifts(shelf),
        categories=parts.categories(shelf),
        lengths=texts.lengths(shelf),
        diversity=texts.diversity(shelf),
        forgetting=parts.forgetting(shelf),
        battles=battles,
    )
    return replace(data, left_out=_left_out(data, shelf, battles_left_out))


def _left_out(data: ReportData, shelf: Shelf, battles: Sequence[str]) -> dict[str, str]:
    """Section -> whose numbers are missing from it."""
    everyone = [(model.row, model.seed) for model in shelf]
    others = [place for place in everyone if place[0] != shelf.reference]
    trained = [place for place in others if place[0] in shelf.methods]
    won = _rows_with(data.board, is_win_rate)
    good = _rows_with(data.board, lambda metric: is_win_rate(metric) or is_grade(metric))
    sections: dict[str, tuple[Sequence[Place], set[str] | set[Place]]] = {
        "win-rates": (others, won),
        "quality-length": (everyone, good & {each.row for each in data.lengths}),
        "quality-parameters": (trained, good),
        "quality-time": (trained, good),
        "learning-rates": (trained, {each.row for each in data.rate_curves}),
        "categories": (everyone, {each.row for each in data.categories}),
        "trajectories": (trained, {(each.row, each.seed) for each in data.trajectories}),
        "energy-drift": (others, {each.row for each in data.drifts if each.energy_drift is not None}),
        "angle-drift": (others, {each.row for each in data.drifts if each.angle_drift is not None}),
        "distinct-n": (everyone, {each.row for each in data.diversity}),
        "forgetting": (others, {each.row for each in data.forgetting}),
        "samples": (everyone, {(each.row, each.seed) for battle in data.battles for each in battle.answers}),
    }
    found = {name: text for name, (wanted, there) in sections.items() if (text := _missing(wanted, there))}
    if all(row.state == "done" for row in data.board.rows):
        found = {name: NONE if text == NOTHING_YET else text for name, text in found.items()}
    if battles:
        found["samples"] = "; ".join([*battles, *([found["samples"]] if "samples" in found else [])])
    return found


def _rows_with(board: Leaderboard, shown: Callable[[str], bool]) -> set[str]:
    """Rows that have a value in some column of such a metric."""
    return {
        row.name
        for row in board.rows
        for (_, metric), cell in row.cells.items()
        if shown(metric) and cell.value is not None
    }


def _missing(wanted: Sequence[Place], there: set[str] | set[Place]) -> str | None:
    """Names of rows of which nothing is there, and the seeds of those of which something is."""
    missing = [place for place in wanted if place not in there and place[0] not in there]
    if len(missing) == len(wanted):
        return NOTHING_YET
    names = []
    for row in dict.fromkeys(row for row, _ in missing):
        seeds = [seed for name, seed in missing if name == row]
        whole = len(seeds) == sum(name == row for name, _ in wanted)
        names += [row] if whole else [f"{row} seed {seed}" for seed in seeds]
    return f"not there yet: {', '.join(names)}" if names else None
