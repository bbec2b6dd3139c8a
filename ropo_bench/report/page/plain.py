"""Small tables of text: what a figure shows, for who reads numbers or cannot see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ropo_bench.leaderboard.board import NOTHING
from ropo_bench.report.data import ReportData, Trajectory
from ropo_bench.types import Comparison, Measurement

SHARE = 10  # start and end of a training: the mean over its first and last tenth of steps


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: its head and its cells as text; strong: in bold."""

    head: str
    cells: Sequence[str]
    strong: bool = False


@dataclass(frozen=True, slots=True)
class PlainTable:
    """A table with a caption; headers: of the head and of every cell."""

    caption: str
    headers: Sequence[str]
    lines: Sequence[Line]


def tables(data: ReportData) -> dict[str, list[PlainTable]]:
    """Section -> its tables, of what was gathered."""
    found = {
        "categories": _categories(data),
        "trajectories": _trajectories(data.trajectories),
        "energy-drift": _drift(data, "energy_drift", "Largest |HE / HE of the base − 1| over the layers."),
        "angle-drift": _drift(data, "angle_drift", "Mean angle drift in radians, of the layer that has the largest."),
        "distinct-n": _diversity(data),
        "forgetting": _forgetting(data),
    }
    return {name: tables for name, tables in found.items() if tables}


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _crossed(caption: str, corner: str, texts: Mapping[tuple[str, str], str]) -> PlainTable:
    """A table of heads (downwards) by rows of the board (across), from (head, row) -> text."""
    heads, rows = _unique(head for head, _ in texts), _unique(row for _, row in texts)
    lines = [Line(head, [texts.get((head, row), NOTHING) for row in rows]) for head in heads]
    return PlainTable(caption, [corner, *rows], lines)


def _estimate(found: Measurement, decimals: int) -> str:
    if found.value is None:
        return NOTHING
    error = "" if found.standard_error is None else f" ± {found.standard_error:.{decimals}f}"
    return f"{found.value:.{decimals}f}{error}"


def _categories(data: ReportData) -> list[PlainTable]:
    made = []
    for task in _unique(each.task for each in data.categories):
        own = [each for each in data.categories if each.task == task]
        texts = {(each.category, each.row): _estimate(each.measurement, 2) for each in own}
        made.append(_crossed(f"{task}: mean grade ± its standard error.", "category", texts))
    return made


def _trajectories(trajectories: Sequence[Trajectory]) -> list[PlainTable]:
    """Likelihood displacement in numbers: log-probabilities at the start and at the end, mean over seeds."""
    lines = []
    for row in _unique(each.row for each in trajectories):
        own = [each for each in trajectories if each.row == row]
        cells = []
        for name in ("logps/chosen", "logps/rejected", "rewards/margins"):
            ends = [_ends(each.values[name]) for each in own if each.values.get(name)]
            if not ends:
                cells += [NOTHING] * 3
                continue
            start, end = (sum(values) / len(ends) for values in zip(*ends, strict=True))
            decimals = 1 if name.startswith("logps") else 3
            cells += [
                minus(f"{start:.{decimals}f}"),
                minus(f"{end:.{decimals}f}"),
                minus(f"{end - start:+.{decimals}f}"),
            ]
        lines.append(Line(row, cells))
    if not lines:
        return []
    caption = (
        "Mean over seeds, of the first and of the last tenth of the steps. A chosen log-probability that falls is"
        " likelihood displacement."
    )
    names = ("chosen", "rejected", "margin")
    return [PlainTable(caption, ["method", *(f"{n} {w}" for n in names for w in ("start", "end", "change"))], lines)]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    count = max(1, len(values) // SHARE)
    return sum(values[:count]) / count, sum(values[-count:]) / count


def _drift(data: ReportData, what: str, caption: str) -> list[PlainTable]:
    largest: dict[tuple[str, str], float] = {}
    for each in data.drifts:
        value = getattr(each, what)
        if value is not None:
            key = (each.module, each.row)
            largest[key] = max(largest.get(key, 0.0), abs(value))
    texts = {key: f"{value:.2g}" for key, value in largest.items()}
    return [_crossed(caption, "module", texts)] if texts else []


def _diversity(data: ReportData) -> list[PlainTable]:
    made = []
    for task in _unique(each.task for each in data.diversity):
        own = [each for each in data.diversity if each.task == task]
        lines = []
        for row in _unique(each.row for each in own):
            by_n = sorted((each for each in own if each.row == row), key=lambda each: each.n)
            cells = [text for each in by_n for text in (_estimate(each.matched, 1), _estimate(each.whole, 1))]
            lines.append(Line(row, [*cells, f"{by_n[0].num_words:.1f}", f"{by_n[0].whole_words:.1f}"]))
        sizes = sorted({each.n for each in own})
        headers = [
            "method",
            *(f"distinct-{n} {how}" for n in sizes for how in ("matched", "whole")),
            "words matched",
            "words whole",
        ]
        made.append(
            PlainTable(
                f"{task}: distinct n-grams in percent ± standard error, at matched length and whole.", headers, lines
            )
        )
    return made


def _forgetting(data: ReportData) -> list[PlainTable]:
    made = []
    for task in _unique(each.task for each in data.forgetting):
        own = [each for each in data.forgetting if each.task == task]
        texts = {(each.part, each.row): _difference(each.difference) for each in own}
        made.append(_crossed(f"{task}: difference to SFT in points (95 % interval).", "part", texts))
    return made


def _difference(found: Comparison) -> str:
    interval = "" if found.low is None else f" ({found.low:+.1f} to {found.high:+.1f})"
    return minus(f"{found.estimate:+.1f}{interval}")


def minus(text: str) -> str:
    """The text with the minus sign of numbers in place of hyphens."""
    return text.replace("-", "−")
