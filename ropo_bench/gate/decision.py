"""The verdict on every cell and on the night: a non-inferiority test with Holm's correction, and a CUSUM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ropo_bench.errors import UsageError
from ropo_bench.gate import maths
from ropo_bench.gate.autocorrelation import estimate_autocorrelation
from ropo_bench.gate.cell_numbers import ALPHA_AGAIN, ALPHA_NIGHT, CellVerdict, MeasuredCell, measure_cell
from ropo_bench.gate.comparison import error_again
from ropo_bench.gate.evidence import Baseline, Compared, Evidence, evidence
from ropo_bench.gate.night import Cell, Night, Row, Verdict, finished_cell
from ropo_bench.statistics.multiplicity import holm

EXIT_CODES: Mapping[Verdict, int] = {"REGRESSION": 1, "INCOMPLETE": 4, "SUSPECTED": 3, "INCONCLUSIVE": 3, "GO": 0}
"""The first of them that a cell has is the night's."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What to watch (None: all rows but the reference, all tested columns), and margins in a column's unit."""

    rows: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    margins: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on a night."""

    verdict: Verdict
    cells: Sequence[CellVerdict]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    @property
    def suspects(self) -> list[CellVerdict]:
        """The cells that a re-run with fresh seeds has to decide."""
        return [cell for cell in self.cells if cell.verdict == "SUSPECTED"]

    def by_row(self) -> dict[str, dict[str, Verdict]]:
        """Row -> column -> verdict, as a history keeps them."""
        verdicts: dict[str, dict[str, Verdict]] = {}
        for cell in self.cells:
            verdicts.setdefault(cell.row, {})[cell.column] = cell.verdict
        return verdicts


def decide(
    tonight: Night,
    history: Sequence[Night],
    baseline: Baseline,
    rules: Rules | None = None,
    again: Mapping[str, Row] | None = None,
) -> Decision:
    """The verdict on tonight from the nights before it. again: a re-run of suspected cells with fresh seeds.

    Raises UsageError for a watched column that the night does not have, and where there is nothing to watch.
    """
    rules = rules or Rules()
    before = [night for night in history if night.time < tonight.time]
    names = find_watched(tonight, before, baseline, rules)
    assessments = [_evidence(*name, tonight, before, baseline) for name in names]
    autocorrelation = estimate_autocorrelation([a.series for a in assessments if isinstance(a, Evidence)])
    tests = [
        assessment
        if isinstance(assessment, CellVerdict)
        else measure_cell(name, tonight, assessment, autocorrelation, rules.margins.get(name[1]), len(names))
        for name, assessment in zip(names, assessments, strict=True)
    ]
    adjusted = holm([1.0 if isinstance(test, CellVerdict) else test.verdict.p_value or 0.0 for test in tests])
    cells = [
        test if isinstance(test, CellVerdict) else _verdict(test, p_value, again)
        for test, p_value in zip(tests, adjusted, strict=True)
    ]
    verdict = next(verdict for verdict in EXIT_CODES if any(cell.verdict == verdict for cell in cells))
    return Decision(verdict, cells)


def find_watched(tonight: Night, before: Sequence[Night], baseline: Baseline, rules: Rules) -> list[tuple[str, str]]:
    """(row, column) of all watched cells: rows of tonight and of the baseline (or the night before)."""
    comparable = [name for name, column in tonight.columns.items() if column.better != "none"]
    for name in [*(rules.columns or ()), *rules.margins]:
        if name not in comparable:
            raise UsageError(
                f"gate, column {name}: not in this run, or without a better direction; it has: {comparable}"
            )
    columns = list(rules.columns) if rules.columns else [name for name in comparable if tonight.columns[name].tested]
    other = baseline.night or (before[-1] if before else None)
    rows = {**(other.rows if other else {}), **tonight.rows}
    names = list(rules.rows) if rules.rows else [name for name, row in rows.items() if not row.reference]
    if not (names and columns):
        raise UsageError("gate: nothing to watch: the run has no row beside the reference, or no tested column")
    return [(name, column) for name in names for column in columns]


def _evidence(
    row: str, column: str, tonight: Night, before: Sequence[Night], baseline: Baseline
) -> Evidence | CellVerdict:
    if tonight.cell(row, column) is None:
        state = tonight.rows[row].state if row in tonight.rows else "the row is not in this run"
        return CellVerdict(row, column, "INCOMPLETE", "no value" if state == "done" else state)
    return evidence(row, column, tonight, before, baseline)


def _verdict(test: MeasuredCell, adjusted: float, again: Mapping[str, Row] | None) -> CellVerdict:
    verdict = replace(test.verdict, adjusted=adjusted)
    low, margin, drift = verdict.low or 0.0, verdict.margin or 0.0, verdict.drift or 0.0
    worse = adjusted <= ALPHA_NIGHT and low <= -margin
    suspicions = {"worse than the baseline": test.evidence.baseline} if worse else {}
    if drift >= 1:
        suspicions["drifted below the anchor"] = test.evidence.anchor
    if not suspicions:
        return _judge_unsuspected(test, verdict, low > -margin)
    reason = " and ".join(suspicions)
    if again is None:
        return replace(verdict, verdict="SUSPECTED", reason=f"{reason}; a re-run with fresh seeds decides")
    rerun = finished_cell(again, verdict.row, verdict.column)
    if rerun is None or rerun.value is None:
        return replace(verdict, verdict="INCOMPLETE", reason=f"{reason}; the re-run with fresh seeds has no value")
    seeds = tuple(again[verdict.row].seeds)
    results = [_again(rerun, seeds, reference, test) for reference in suspicions.values() if reference is not None]
    verdict = replace(verdict, again=rerun.value, expected=results[0][0])
    if any(p_value <= ALPHA_AGAIN for _, p_value in results):
        return replace(verdict, verdict="REGRESSION", reason=f"{reason}, and again with fresh seeds")
    return replace(verdict, verdict="INCONCLUSIVE", reason=f"{reason}, but not again with fresh seeds")


def _judge_unsuspected(test: MeasuredCell, verdict: CellVerdict, is_within: bool) -> CellVerdict:
    """The verdict where nothing is suspected; is_within: whether the lower bound is above minus the margin."""
    if test.evidence.unchanged:
        return replace(verdict, reason="the very measurement of the baseline")
    if not is_within:
        return replace(verdict, verdict="INCONCLUSIVE", reason="a loss of the margin cannot be excluded")
    if not test.has_margin and verdict.adjusted is not None and verdict.adjusted <= ALPHA_NIGHT:
        reason = "significantly worse, within a margin that is only what this night could detect"
        return replace(verdict, verdict="INCONCLUSIVE", reason=reason)
    return replace(verdict, reason="not worse by the margin")


def _again(rerun: Cell, seeds: tuple[int, ...], reference: Compared, test: MeasuredCell) -> tuple[float, float]:
    """What the re-run should be if nothing had changed, and the p-value of "not worse" than that."""
    expected, error, degrees = error_again(test.noise, reference, test.evidence, rerun.seeds, seeds)
    difference = test.sign * ((rerun.value or 0.0) - expected)
    return expected, maths.lower_tail(difference, error, degrees)
