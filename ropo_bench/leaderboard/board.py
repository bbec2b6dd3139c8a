"""The leaderboard: its rows, columns and comparisons, and the lines under the table that a run knows.

Rendering is a pure function of a Leaderboard: the same rows give the same bytes. separation.py says who differs,
cells.py what every cell says; formats.py, markdown.py and latex.py write files, terminal.py the view on a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ropo_bench.types import Comparison, Measurement

NOTHING = "–"
POCKET_DISCLAIMER = "pocket is a testbed with an exact ruler, not a claim about 8B models"


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of one task; decimals of its cells, which direction is better, whether rows are compared on it."""

    task: str
    metric: str
    header: str
    decimals: int = 2
    better: Literal["higher", "lower", "none"] = "higher"
    tested: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One method, or the SFT reference (reference=True, shown first), or a model trained elsewhere.

    percent: of the base model's parameters, 0..100. train_seconds: mean over seeds; peak_memory_bytes: their
    maximum. cells: by (task, metric), a missing one is shown as "–". state: "done", "pending",
    "pending, 2/5 seeds" or "failed: reason".
    """

    name: str
    seeds: tuple[int, ...] = ()
    trainable_params: int | None = None
    percent: float | None = None
    train_seconds: float | None = None
    peak_memory_bytes: int | None = None
    cells: Mapping[tuple[str, str], Measurement] = field(default_factory=dict)
    state: str = "done"
    reference: bool = False

    @property
    def label(self) -> str:
        """The name, with its state in a word unless it is done; the reason stands in the table's notes."""
        return self.name if self.state == "done" else f"{self.name} ({self.state.split(':')[0]})"


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A table: title, rows, columns, and the footers that make its numbers readable on their own.

    comparisons: all pairs of rows on the tested columns, adjusted over the table. provenance: the run record's, JSON
    values only. primary: which comparisons are tested first (PrimaryRecipe), None where none are declared.
    """

    title: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    footers: Sequence[str] = ()
    comparisons: Sequence[Comparison] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    primary: Mapping[str, Any] | None = None

    @property
    def ordered_rows(self) -> list[Row]:
        """The reference rows, then the others, each in the given order."""
        return sorted(self.rows, key=lambda row: not row.reference)

    @property
    def failures(self) -> list[str]:
        """Why rows failed, a line each."""
        return [f"{row.name} {row.state}" for row in self.ordered_rows if ":" in row.state]


def footers(
    *,
    seeds: Sequence[int],
    data: str | None,
    versions: Mapping[str, str],
    judges: Sequence[str] = (),
    canaries: Sequence[str] = (),
    spent: str | None = None,
    prompts: Mapping[str, int] | None = None,
    pocket: bool = False,
    certificate: str | None = None,
) -> list[str]:
    """The lines under a table.

    judges: who judged what. canaries: their biases. spent: what judging took. prompts: number of prompts by task.
    """
    method = "the method, seeds crossed with prompts (a row of one seed: that checkpoint)"
    about = method if len(seeds) > 1 else "this one checkpoint a row (one seed)"
    lines = [f"± is the standard error, [] the 95 % interval; both are about {about}; a cell without ± is a census"]
    lines += [f"judge: {judge}" for judge in judges]
    lines += [f"canaries of the judge (bias with its 95 % interval): {line}" for line in canaries]
    if spent:
        lines.append(f"judging: {spent}")
    if prompts:
        lines.append("prompts: " + ", ".join(f"{task} {count:,}" for task, count in prompts.items()))
    lines.append("seeds: " + ", ".join(str(seed) for seed in seeds))
    if data:
        lines.append(f"preference data: {data}")
    if certificate:
        lines.append(f"merge certificate: {certificate}")
    lines.append("versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    if pocket:
        lines.append(POCKET_DISCLAIMER)
    return lines
