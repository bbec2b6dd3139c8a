"""Names beside points, placed where they cover neither points nor each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ropo_bench.report.figures.style import INK, SMALL, settle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

Segment = tuple[float, float, float, float]
"""x0, y0, x1, y1 of a line that is drawn, in the units of the axes."""


class Labelled(NamedTuple):
    """What a panel shows: points by name (x, y), and the lines that names keep away from."""

    panel: Axes
    points: Mapping[str, tuple[float, float]]
    lines: Sequence[Segment]


# Where a name may stand: offset in points, and which of its sides is at the offset; the best first.
_PLACES: list[tuple[float, float, Any, Any]] = [
    (distance * x, distance * y, side, edge)
    for distance in (8, 14, 22)
    for x, y, side, edge in (
        (1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top"),
        (1, 1, "left", "bottom"), (-1, 1, "right", "bottom"), (1, -1, "left", "top"), (-1, -1, "right", "top"),
    )
]  # fmt: skip
_NEAR = [place[:2] for place in _PLACES[:8]]
"""From farther off, a line leads to the point."""
_POINT_RADIUS = 5.0  # points, with the ring of the Pareto front
_DOTS = 60  # that stand for a line
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


def place_labels(figure: Figure, labelled: Sequence[Labelled]) -> None:
    """Write every point's name beside it; greedy, in the given order, so the same points give the same places."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    settle(figure)
    radius = _POINT_RADIUS * figure.dpi / 72
    for panel, points, lines in labelled:
        extent = panel.get_window_extent(renderer)
        room = (extent.x0, extent.y0, extent.x1, extent.y1)
        taken = [_square(panel.transData.transform(point), radius) for point in points.values()]
        for x0, y0, x1, y1 in lines:
            start, end = panel.transData.transform([(x0, y0), (x1, y1)])
            taken += [_square(start + (end - start) * i / _DOTS, 1.0) for i in range(_DOTS + 1)]
        for name, point in points.items():
            label = panel.annotate(name, point, xytext=(0, 0), textcoords="offset points", size=SMALL)
            label.set_in_layout(False)
            costs = [(_cost(box, taken, room), rank) for rank, box in _tries(label, renderer)]
            best = min(costs)[1]
            _move(label, best)
            if _PLACES[best][:2] not in _NEAR:
                leader = {"arrowstyle": "-", "color": INK, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 4}
                panel.annotate("", point, xytext=label.xyann, textcoords="offset points", arrowprops=leader)
            taken.append(_box(label, renderer))


def _square(centre: Any, radius: float) -> Box:
    x, y = centre
    return x - radius, y - radius, x + radius, y + radius


def _tries(label: Annotation, renderer: Any) -> Iterator[tuple[int, Box]]:
    for rank in range(len(_PLACES)):
        _move(label, rank)
        yield rank, _box(label, renderer)


def _move(label: Annotation, rank: int) -> None:
    x, y, side, edge = _PLACES[rank]
    label.xyann = (x, y)
    label.set_horizontalalignment(side)
    label.set_verticalalignment(edge)


def _box(label: Annotation, renderer: Any) -> Box:
    box = label.get_window_extent(renderer)
    return box.x0, box.y0, box.x1, box.y1


def _cost(box: Box, taken: Sequence[Box], room: Box) -> float:
    """Pixels of the name that lie on something or outside the room."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return sum(_overlap(box, other) for other in taken) + area - _overlap(box, room)


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
