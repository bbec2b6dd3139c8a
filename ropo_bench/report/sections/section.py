"""What a section of the report is: how it is gathered, drawn and told in numbers; and a run's sections together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.report.figures.style import STYLE, settle
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.report.sections.tables import PlainTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Section(Generic[D]):
    """A section of the report, for every run: its heading, and the functions that fill it with data D."""

    name: str
    """Its id in the page, and the name of its figure's files."""
    title: str
    caption: str
    """How to read what stands below the title."""
    gather: Callable[[StoredRun], D | None]
    """From a stored run, finished or not, to the section's data; None where the run has nothing for it."""
    left_out: Callable[[StoredRun, D | None], str | None]
    """Which rows of the run it does not show, or why it shows none; None where it shows all of them."""
    draw: Callable[[D, Leaderboard], Figure | None] | None = None
    """Its figure; None where there is nothing to draw. The table says how rows are ordered and marked."""
    tables: Callable[[D], Sequence[PlainTable]] | None = None
    """The same in numbers, for who reads numbers or cannot see the figure."""
    template: str | None = None
    """One of the page's templates that it has instead of a figure and tables; it is always in the page."""
    details: Callable[[D, Leaderboard], Mapping[str, Any]] | None = None
    """What its own template shows, by name."""


@dataclass(frozen=True, slots=True)
class Part(Generic[D]):
    """A section with what a run has for it. left_out: what is not shown, and why."""

    section: Section[D]
    data: D | None = None
    left_out: str | None = None

    def figure(self, board: Leaderboard) -> Figure | None:
        """Its figure in the report's style, laid out once for all formats; None where there is nothing to draw."""
        if self.data is None or self.section.draw is None:
            return None
        import matplotlib

        with matplotlib.rc_context(STYLE):
            figure = self.section.draw(self.data, board)
            if figure is not None:
                settle(figure)
        return figure

    def tables(self) -> Sequence[PlainTable]:
        """Its tables; none where there is nothing to tell."""
        return () if self.data is None or self.section.tables is None else self.section.tables(self.data)

    def details(self, board: Leaderboard) -> Mapping[str, Any]:
        """What its own template shows; empty where there is nothing to show."""
        return {} if self.data is None or self.section.details is None else self.section.details(self.data, board)


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report shows of a run: its table, and its sections in the order of the report."""

    board: Leaderboard
    parts: Sequence[Part[Any]] = ()

    def of(self, section: Section[D]) -> D | None:
        """What the run has for a section; None where it has nothing, or where the report has no such section."""
        return next((part.data for part in self.parts if part.section.name == section.name), None)

    @property
    def left_out(self) -> dict[str, str]:
        """Section -> what is not shown in it, and why."""
        return {part.section.name: part.left_out for part in self.parts if part.left_out is not None}

    def figures(self) -> dict[str, Figure]:
        """Section -> its figure, of those that have one, in the order of the report."""
        drawn = {part.section.name: part.figure(self.board) for part in self.parts}
        return {name: figure for name, figure in drawn.items() if figure is not None}
