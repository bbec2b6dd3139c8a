"""The nightly gate: is tonight worse than the baseline, by more than noise and by more than the margin?"""

from ropo_bench.gate.cell_numbers import CellVerdict
from ropo_bench.gate.decision import EXIT_CODES, Decision, Rules, decide
from ropo_bench.gate.differences import Change, differences
from ropo_bench.gate.evidence import Baseline
from ropo_bench.gate.history import append, as_tonight, default_path, read_history
from ropo_bench.gate.night import Night, Row, Verdict, night_of, rows_of
from ropo_bench.gate.report import GateReport, to_json, to_lines, to_markdown

__all__ = [
    "EXIT_CODES",
    "Baseline",
    "CellVerdict",
    "Change",
    "Decision",
    "GateReport",
    "Night",
    "Row",
    "Rules",
    "Verdict",
    "append",
    "as_tonight",
    "decide",
    "default_path",
    "differences",
    "night_of",
    "read_history",
    "rows_of",
    "to_json",
    "to_lines",
    "to_markdown",
]
