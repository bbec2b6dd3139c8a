"""Which stage runs when and on which devices: list scheduling over slots, critical paths first.

Blocks of nodes are placed one by one, each at the earliest time at which what it needs is there and so many slots of
its kind are free for as long as it takes; small blocks fill the gaps before large ones. Pure and deterministic.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ropo_bench.stages.parallel.graph import Graph, Node

DEVICE, CPU = "device", "cpu"
JUDGE = "judge"
"""Kinds of slots; every judge is a kind of its own (`judge NAME`), who is asked about one row at a time."""
LEAST_SECONDS = 1e-3  # so that whatever occupies a slot has a time at which it does


@dataclass(frozen=True, slots=True)
class Demand:
    """What a node occupies while it is made: slots of one kind, and for how long."""

    place: str
    slots: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and when a node is made: the numbers of its slots, seconds from the beginning."""

    node: str
    block: str
    place: str
    slots: tuple[int, ...]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Block:
    """Nodes that one process makes one after another, on the same slots."""

    name: str
    nodes: tuple[Node, ...]
    place: str
    slots: int
    ends: tuple[float, ...]
    """Seconds after the block's start at which each of its nodes is done."""

    @property
    def seconds(self) -> float:
        """How long all of it takes."""
        return self.ends[-1]


def blocks_of(graph: Graph, demands: Mapping[str, Demand]) -> dict[str, Block]:
    """The blocks of the nodes that have a demand, by name; the others are done already."""
    members: dict[str, list[Node]] = {}
    for node in graph.values():
        if node.name in demands:
            members.setdefault(node.block, []).append(node)
    return {name: _block(name, nodes, demands) for name, nodes in members.items()}


def _block(name: str, nodes: Sequence[Node], demands: Mapping[str, Demand]) -> Block:
    ends, seconds = [], 0.0
    for node in nodes:
        seconds += max(demands[node.name].seconds, LEAST_SECONDS)
        ends.append(seconds)
    slots = max(demands[node.name].slots for node in nodes)
    return Block(name, tuple(nodes), demands[nodes[0].name].place, slots, tuple(ends))


def schedule(
    graph: Graph, demands: Mapping[str, Demand], capacity: Mapping[str, int], rules: Sequence[str] = ()
) -> tuple[Placement, ...]:
    """The shortest of the schedules that the rules of order give (default: all of them), in order of start.

    demands: by node; a node without one is done already. capacity: slots of every kind. Raises ValueError for a
    demand that no machine like this meets, and for nodes that wait for each other.
    """
    plan = _Plan(graph, demands, capacity)
    return min((plan.place(_RULES[rule]) for rule in rules or _RULES), key=makespan)


def makespan(placements: Sequence[Placement]) -> float:
    """Seconds from the beginning to the end of the last."""
    return max((placement.end for placement in placements), default=0.0)


def lower_bound(graph: Graph, demands: Mapping[str, Demand], capacity: Mapping[str, int]) -> float:
    """Seconds that no schedule beats: the longest chain of nodes, or the work of the busiest kind of slot."""
    blocks = blocks_of(graph, demands)
    chain: dict[str, float] = {}
    previous: dict[str, str] = {}
    for name, node in graph.items():
        if name in demands:
            before = [*node.needs, *([previous[node.block]] if node.block in previous else [])]
            chain[name] = demands[name].seconds + max((chain.get(need, 0.0) for need in before), default=0.0)
            previous[node.block] = name
    work = {
        place: sum(block.slots * block.seconds for block in blocks.values() if block.place == place) / slots
        for place, slots in capacity.items()
    }
    return max([0.0, *chain.values(), *work.values()])


class _Plan:
    """The blocks of a graph, what each waits for, and how long the way from each to the end is."""

    def __init__(self, graph: Graph, demands: Mapping[str, Demand], capacity: Mapping[str, int]) -> None:
        self.capacity = capacity
        self.blocks = blocks_of(graph, demands)
        self.home = {node.name: block for block in self.blocks.values() for node in block.nodes}
        for block in self.blocks.values():
            if block.slots > capacity.get(block.place, 0):
                raise ValueError(f"{block.name} needs {block.slots} of {block.place}: {dict(capacity)}")
        self.before = {name: self._before(block) for name, block in self.blocks.items()}
        self.after: dict[str, set[str]] = {name: set() for name in self.blocks}
        for name, needs in self.before.items():
            for need in needs:
                self.after[need].add(name)
        self.order = self._in_order()
        self.ways: dict[str, float] = {}
        for name in reversed(self.order):
            longest = max((self.ways[other] for other in self.after[name]), default=0.0)
            self.ways[name] = self.blocks[name].seconds + longest

    def _before(self, block: Block) -> set[str]:
        homes = (self.home.get(need) for node in block.nodes for need in node.needs)
        return {home.name for home in homes if home is not None and home is not block}

    def _in_order(self) -> list[str]:
        left = {name: len(needs) for name, needs in self.before.items()}
        order = [name for name, count in left.items() if not count]
        for name in order:
            for other in sorted(self.after[name]):
                left[other] -= 1
                if not left[other]:
                    order.append(other)
        if len(order) < len(left):
            raise ValueError(f"blocks wait for each other: {sorted(set(left) - set(order))}")
        return order

    def place(self, rule: Callable[[Block, float], tuple[float, ...]]) -> tuple[Placement, ...]:
        """Place every block, of those whose needs are placed the first by the rule."""
        profiles = {place: _Profile(slots) for place, slots in self.capacity.items()}
        left = {name: len(needs) for name, needs in self.before.items()}
        rank = {name: number for number, name in enumerate(self.order)}
        ends: dict[str, float] = {}
        starts: dict[str, float] = {}
        ready = [(rule(self.blocks[n], self.ways[n]), rank[n], n) for n, count in left.items() if not count]
        heapq.heapify(ready)
        while ready:
            block = self.blocks[heapq.heappop(ready)[2]]
            starts[block.name] = start = profiles[block.place].take(self._ready(block, ends), block)
            ends |= {node.name: start + end for node, end in zip(block.nodes, block.ends, strict=True)}
            for name in self.after[block.name]:
                left[name] -= 1
                if not left[name]:
                    heapq.heappush(ready, (rule(self.blocks[name], self.ways[name]), rank[name], name))
        return tuple(self._numbered(starts))

    def _ready(self, block: Block, ends: Mapping[str, float]) -> float:
        """When a block may begin, so that each of its nodes finds what it needs."""
        ready = 0.0
        for node, begin in zip(block.nodes, (0.0, *block.ends), strict=False):
            ready = max([ready, *(ends[need] - begin for need in node.needs if need in ends)])
        return ready

    def _numbered(self, starts: Mapping[str, float]) -> Iterator[Placement]:
        """Give every block its slots by number, the lowest that are free: enough are at its start."""
        free = {place: list(range(slots)) for place, slots in self.capacity.items()}
        running: list[tuple[float, str, tuple[int, ...]]] = []
        for name in sorted(starts, key=lambda name: (starts[name], -self.ways[name], name)):
            block, start = self.blocks[name], starts[name]
            while running and running[0][0] <= start:
                _, ended, slots = heapq.heappop(running)
                free[self.blocks[ended].place].extend(slots)
            numbers = sorted(free[block.place])
            own, free[block.place] = tuple(numbers[: block.slots]), numbers[block.slots :]
            heapq.heappush(running, (start + block.seconds, name, own))
            for node, begin, end in zip(block.nodes, (0.0, *block.ends), block.ends, strict=False):
                yield Placement(node.name, name, block.place, own, start + begin, start + end)


class _Profile:
    """How many slots of a kind are free, from each time on until the next."""

    def __init__(self, slots: int) -> None:
        self.times, self.free = [0.0], [slots]

    def take(self, ready: float, block: Block) -> float:
        """Occupy a block's slots at the earliest time from `ready` on; returns it."""
        index = bisect_right(self.times, ready) - 1
        start = ready
        place = index
        while place < len(self.times) and self.times[place] < start + block.seconds:
            if self.free[place] < block.slots:  # begin again after this
                start = self.times[place + 1]
                index = place + 1
            place += 1
        self._occupy(start, start + block.seconds, block.slots)
        return start

    def _occupy(self, start: float, end: float, slots: int) -> None:
        for time in (start, end):
            index = bisect_right(self.times, time) - 1
            if self.times[index] != time:
                self.times.insert(index + 1, time)
                self.free.insert(index + 1, self.free[index])
        index = bisect_right(self.times, start) - 1
        while index < len(self.times) and self.times[index] < end:
            self.free[index] -= slots
            index += 1


_RULES: Mapping[str, Callable[[Block, float], tuple[float, ...]]] = {
    "longest way first": lambda block, way: (-way,),
    "widest first": lambda block, way: (-block.slots, -way),
    "most work first": lambda block, way: (-block.slots * block.seconds, -way),
}
"""Which of the blocks that could begin is placed first, by itself and the length of the way from it to the end."""
