"""Quality against length, parameters and time, and what nothing dominates."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.report.sections.tradeoffs import LENGTH, pareto
from tests.report.page_example import draw, replaced, report_data, with_lengths


def test_names_stand_beside_their_points_without_covering_each_other() -> None:
    data = with_lengths(report_data())
    lengths = data.of(LENGTH) or []
    close = [replace(length, measurement=replace(length.measurement, value=31.0)) for length in lengths]
    figure = draw(LENGTH, replaced(data, LENGTH, close))
    assert figure is not None
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_pareto_front_of_a_worked_example() -> None:
    #          dominated by 0, front,   as cheap as 1 but worse, front
    assert pareto([(2, 5), (3, 4), (1, 3), (1, 2), (4, 9)]) == [2, 0, 4]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1))
def test_the_front_is_what_nothing_dominates(found: list[tuple[int, int]]) -> None:
    front = pareto(found)

    def dominated(place: int) -> bool:
        cost, value = found[place]
        return any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in found)

    assert {found[i] for i in front} == {found[i] for i in range(len(found)) if not dominated(i)}
