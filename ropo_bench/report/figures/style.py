"""How figures look: one quiet style, and one colour and marker a row in all of them.

Readable in black and white (markers differ), by the colour-blind (colours of Okabe and Ito, 2008), and on light and
dark paper: the background is transparent, and INK has a contrast above 4:1 to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

from ropo_bench.leaderboard.board import Leaderboard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#757575"
FAINT = 0.25  # of INK's opacity: grid lines
SMALL = 8.0
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
REFERENCE_MARKER = "*"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that the layout is the same everywhere
    "font.size": 9,
    "axes.titlesize": 10,  # not bold: a PDF would embed a second font, which takes longer than all drawing
    "axes.titlelocation": "left",
    "axes.labelsize": SMALL,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "grid.color": INK,
    "grid.alpha": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 6,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """How a row is drawn."""

    colour: str
    marker: str


def marks(board: Leaderboard) -> dict[str, Mark]:
    """Row -> its mark, the same in every figure; reference rows are grey stars."""
    styles = zip(cycle(COLOURS), cycle(MARKERS), strict=False)  # 77 different ones
    return {
        row.name: Mark(INK, REFERENCE_MARKER) if row.reference else Mark(*next(styles)) for row in board.ordered_rows
    }


def grid(count: int, columns: int, width: float, height: float, **shared: Any) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `count` panels of width x height inches, in so many columns at most."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    across = min(count, columns)
    down = -(-count // across)
    layout = ConstrainedLayoutEngine(wspace=0.06, hspace=0.08)
    figure = Figure(figsize=(across * width, down * height), layout=layout)
    panels = figure.subplots(down, across, squeeze=False, **shared).ravel()
    for panel in panels[count:]:
        panel.remove()
    for panel in lowest(panels[:count], columns):
        panel.tick_params(labelbottom=True)
    return figure, panels[:count]


def lowest(panels: Sequence[Axes], columns: int) -> Sequence[Axes]:
    """The panels of a grid with none below them: there stand the labels of an x axis that all share."""
    return panels[-min(len(panels), columns) :]


def settle(figure: Figure) -> None:
    """Lay the figure out, once for all formats."""
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
