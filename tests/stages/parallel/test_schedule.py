"""Laws of the scheduler: no slot twice at once, needs come first, and no more than twice what cannot be beaten."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.stages.parallel.graph import Graph, Node
from ropo_bench.stages.parallel.schedule import DEVICE, Demand, Placement, blocks_of, lower_bound, makespan, schedule

CAPACITY = {DEVICE: 4, "cpu": 2, "judge a": 1}


def node(name: str, *needs: str, block: str = "") -> Node:
    return Node(name, "scores", "row", needs=needs, block=block or name)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, dict[str, Demand]]:
    """Up to 14 blocks of one to three nodes; a node needs nodes of earlier blocks."""
    nodes: dict[str, Node] = {}
    demands: dict[str, Demand] = {}
    for number in range(draw(st.integers(1, 14))):
        earlier = list(nodes)
        place = draw(st.sampled_from(sorted(CAPACITY)))
        slots = draw(st.integers(1, CAPACITY[place]))
        for part in range(draw(st.integers(1, 3))):
            needs = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
            name = f"{number}.{part}"
            nodes[name] = node(name, *needs, block=str(number))
            demands[name] = Demand(place, slots, draw(st.sampled_from([0.0, 0.5, 1.0, 3.0, 7.25])))
    return nodes, demands


def overlaps(a: Placement, b: Placement) -> bool:
    return a.start < b.end - 1e-9 and b.start < a.end - 1e-9


@given(graphs())
def test_no_slot_is_used_twice_at_once(case: tuple[Graph, dict[str, Demand]]) -> None:
    placements = schedule(*case, CAPACITY)
    assert sorted(p.node for p in placements) == sorted(case[0])
    for number, a in enumerate(placements):
        assert (
            len(set(a.slots)) == len(a.slots) == max(case[1][p.node].slots for p in placements if p.block == a.block)
        )
        assert set(a.slots) <= set(range(CAPACITY[a.place]))
        for b in placements[number + 1 :]:
            assert a.place != b.place or not set(a.slots) & set(b.slots) or not overlaps(a, b), (a, b)


@given(graphs())
def test_what_is_needed_is_made_before(case: tuple[Graph, dict[str, Demand]]) -> None:
    placed = {placement.node: placement for placement in schedule(*case, CAPACITY)}
    for name, own in case[0].items():
        assert all(placed[need].end <= placed[name].start + 1e-9 for need in own.needs)


@given(graphs())
def test_a_block_is_made_by_one_process(case: tuple[Graph, dict[str, Demand]]) -> None:
    placements = schedule(*case, CAPACITY)
    for block in blocks_of(*case).values():
        members = [placement for placement in placements if placement.block == block.name]
        assert [placement.node for placement in members] == [member.name for member in block.nodes]
        assert len({placement.slots for placement in members}) == 1
        assert all(a.end == pytest.approx(b.start) for a, b in pairwise(members))


@given(graphs())
def test_it_is_never_shorter_than_the_bound_nor_longer_than_one_after_another(
    case: tuple[Graph, dict[str, Demand]],
) -> None:
    length = makespan(schedule(*case, CAPACITY))
    assert lower_bound(*case, CAPACITY) <= length + 1e-6
    assert length <= sum(block.seconds for block in blocks_of(*case).values()) + 1e-6


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=20), st.integers(1, 5))
def test_independent_stages_of_one_slot_keep_grahams_bound(seconds: list[float], slots: int) -> None:
    """(2 - 1 / slots) times the best that can be, which is no less than the lower bound."""
    graph = {str(number): node(str(number)) for number in range(len(seconds))}
    demands = {str(number): Demand(DEVICE, 1, value) for number, value in enumerate(seconds)}
    bound = lower_bound(graph, demands, {DEVICE: slots})
    assert makespan(schedule(graph, demands, {DEVICE: slots})) <= (2 - 1 / slots) * bound + 1e-6


def test_a_small_stage_fills_the_gap_before_a_wide_one() -> None:
    graph = {name: node(name, *needs) for name, needs in {"a": (), "wide": ("a",), "small": ()}.items()}
    demands = {"a": Demand(DEVICE, 1, 5), "wide": Demand(DEVICE, 2, 5), "small": Demand(DEVICE, 1, 4)}
    placed = {placement.node: placement for placement in schedule(graph, demands, {DEVICE: 2})}
    assert (placed["small"].start, placed["wide"].start, placed["wide"].slots) == (0.0, 5.0, (0, 1))


def test_what_is_done_already_is_not_waited_for() -> None:
    graph = {"a": node("a"), "b": node("b", "a")}
    (placement,) = schedule(graph, {"b": Demand(DEVICE, 1, 2)}, {DEVICE: 1})
    assert (placement.node, placement.start, placement.end) == ("b", 0.0, 2.0)


def test_what_can_never_run_is_refused() -> None:
    with pytest.raises(ValueError, match="a needs 9 of device"):
        schedule({"a": node("a")}, {"a": Demand(DEVICE, 9, 1)}, {DEVICE: 8})
    with pytest.raises(ValueError, match="wait for each other"):
        schedule({"a": node("a", "b"), "b": node("b", "a")}, dict.fromkeys("ab", Demand(DEVICE, 1, 1)), {DEVICE: 8})
