"""A decision as Markdown (verdict first), as plain lines, and as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ropo_bench.gate.cell_numbers import ALPHA_DRIFT, ALPHA_NIGHT, CellVerdict
from ropo_bench.gate.decision import EXIT_CODES, Decision
from ropo_bench.gate.differences import Change
from ropo_bench.gate.night import Night, Verdict
from ropo_bench.store.bounded import dump_json

SCHEMA = 1
MEANINGS: dict[Verdict, str] = {
    "GO": "no watched cell is worse than the baseline by its margin.",
    "REGRESSION": "at least one cell is worse, by more than noise explains, and again with fresh seeds.",
    "SUSPECTED": "at least one cell is worse by more than noise explains; no re-run has confirmed it yet.",
    "INCONCLUSIVE": "nothing is shown to be worse, but a loss of the margin cannot be excluded everywhere.",
    "INCOMPLETE": "at least one watched cell was not measured.",
}
HEADERS = [
    *("method", "column", "verdict", "baseline", "tonight", "difference", "lower bound", "margin", "p (Holm)"),
    *("noise", "drift", "re-run"),
]
NOTHING = "–"
FEW_DEGREES = 8
"""With fewer, a margin is more than a third wider than it would be with many."""


@dataclass(frozen=True, slots=True)
class GateReport:
    """Everything that a report says. against: the baseline in words; since: the night that changes count from."""

    night: Night
    decision: Decision
    against: str
    since: str | None
    changes: Sequence[Change]


def to_markdown(report: GateReport) -> str:
    """The report, the worst cells first."""
    night, decision = report.night, report.decision
    rows = [
        f"| {' | '.join(HEADERS)} |",
        "|:---|:---|:---|" + "---:|" * (len(HEADERS) - 3),
        *(f"| {' | '.join(map(_escape, _texts(cell, night)))} |" for cell in _worst_first(decision)),
    ]
    counts = ", ".join(f"{count} {verdict}" for verdict, count in _counts(decision).items())
    lines = [
        f"# {decision.verdict}: {_escape(night.suite)}, {night.time}",
        "",
        _meaning(decision),
        "",
        f"{len(decision.cells)} cells watched: {counts}. Compared with {_escape(report.against)}.",
        "",
        *rows,
        "",
        *(f"- {_escape(line)}" for line in _reasons(decision) + _hint(decision)),
        "",
        f"## Changed since {_escape(report.since)}" if report.since else "## No night before this one",
        "",
    ]
    if report.changes:
        lines += ["| what | before | now |", "|:---|:---|:---|"]
        lines += [f"| {' | '.join(map(_escape, change))} |" for change in report.changes]
    elif report.since:
        lines.append("Nothing: the same commit, packages, hardware and recipes.")
    return "\n".join(lines) + "\n\n" + _legend() + "\n"


def to_lines(report: GateReport) -> list[str]:
    """For a terminal: a line a cell, then the verdict."""
    night, decision = report.night, report.decision
    lines = []
    for cell in _worst_first(decision):
        _, _, verdict, baseline, tonight, difference, low, margin, *_ = _texts(cell, night)
        numbers = "" if cell.tonight is None else f"  {tonight} against {baseline}"
        numbers += "" if cell.low is None else f": {difference}, at least {low}, margin {margin}"
        lines.append(f"{verdict:<12}  {cell.row} {cell.column}{numbers}  {cell.reason}")
    lines += [f"changed: {change.what}: {change.before} -> {change.now}" for change in report.changes]
    lines += _hint(decision)
    return [*lines, f"{decision.verdict}: {_meaning(decision)}"]


def to_json(report: GateReport) -> str:
    """One JSON object; numbers in full precision."""
    value: dict[str, Any] = {
        "schema": SCHEMA,
        "verdict": report.decision.verdict,
        "exit_code": report.decision.exit_code,
        "suite": report.night.suite,
        "run": report.night.run,
        "time_utc": report.night.time,
        "baseline": report.against,
        "cells": [asdict(cell) for cell in report.decision.cells],
        "changes_since": report.since,
        "changes": [change._asdict() for change in report.changes],
    }
    return dump_json(value)


def _worst_first(decision: Decision) -> list[CellVerdict]:
    order = list(EXIT_CODES)
    return sorted(decision.cells, key=lambda cell: order.index(cell.verdict))


def _counts(decision: Decision) -> dict[Verdict, int]:
    verdicts = [cell.verdict for cell in decision.cells]
    return {verdict: verdicts.count(verdict) for verdict in EXIT_CODES if verdict in verdicts}


def _texts(cell: CellVerdict, night: Night) -> list[str]:
    decimals = night.columns[cell.column].decimals if cell.column in night.columns else 2

    def number(value: float | None, signed: bool = False, more: int = 0) -> str:
        if value is None:
            return NOTHING
        text = f"{value:{'+' if signed else ''},.{decimals + more}f}"
        return text.replace("-", "−")

    noise = NOTHING
    if cell.night_sd is not None:
        noise = f"{number(cell.night_sd, more=1)} ({cell.noise}, {cell.degrees:.0f})"
    rerun = number(cell.again) + (f" of {number(cell.expected)}" if cell.expected is not None else "")
    return [
        cell.row,
        cell.column,
        cell.verdict,
        number(cell.baseline),
        number(cell.tonight),
        number(cell.difference, signed=True),
        number(cell.low, signed=True),
        number(cell.margin),
        NOTHING if cell.adjusted is None else f"{cell.adjusted:.2g}",
        noise,
        NOTHING if cell.drift is None else f"{100 * cell.drift:.0f} %",
        rerun,
    ]


def _reasons(decision: Decision) -> list[str]:
    """The reasons of all verdicts, a line a reason, with the cells that it holds for."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for cell in _worst_first(decision):
        by_reason.setdefault((cell.verdict, cell.reason), []).append(f"{cell.row} {cell.column}")
    return [f"{verdict}, {reason}: {', '.join(cells)}" for (verdict, reason), cells in by_reason.items()]


def _meaning(decision: Decision) -> str:
    if decision.verdict == "INCONCLUSIVE" and all(cell.baseline is None for cell in decision.cells):
        return "there is nothing to compare with yet; `nightly` keeps every night, --baseline takes a table."
    return MEANINGS[decision.verdict]


def _hint(decision: Decision) -> list[str]:
    few = [cell for cell in decision.cells if cell.degrees is not None and cell.degrees < FEW_DEGREES]
    if not few:
        return []
    what = f"{len(few)} of {len(decision.cells)} cells have wide margins, because their noise is known from few seeds"
    return [f"{what}: GO says little there; to narrow them, once: nightly --repeat-seeds 5"]


def _legend() -> str:
    return (
        "<sub>difference, lower bound: positive is better; one-sided 95 %. margin: the loss that is no regression yet"
        " (the suite's, else what this gate finds and confirms in about four of five cases). p (Holm): how often a"
        " night without any change would lie this far below the baseline, corrected for all cells; it is about nights"
        " of the same seeds and prompts, not about seeds or prompts that were never drawn. noise: standard deviation"
        " of a night that nothing has changed, in brackets what taught it (nights: nights of the same seeds; seeds:"
        " the spread of seeds, an upper bound until there are enough nights) and with how many degrees of freedom."
        " drift: the CUSUM since the anchor, in alarm at 100 %. re-run: with fresh seeds, of what these should give."
        f" An unchanged night is suspected in at most {100 * (ALPHA_NIGHT + ALPHA_DRIFT):g} % of all cases, over all"
        " cells, where noise is about normal; where single seeds now and then fail badly, in 8 to 15 % (simulated),"
        " and the re-run decides.</sub>"
    )


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~$]|&(?=#?\w+;))", r"\\\1", " ".join(text.split()))
