"""Doing what a schedule says: blocks begin in its order, as soon as what they need is made and their slots are free.

Durations that turn out otherwise move the times, never the slots' owners or the order of what needs what: a block
that is ready does not begin before one of its kind that is ready too and stands before it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence

from ropo_bench.stages.parallel.graph import Graph
from ropo_bench.stages.parallel.schedule import Block, Demand, Placement, blocks_of

Work = Callable[[Block, tuple[int, ...], Callable[[str], None]], None]
"""Make a block on these slots; told(node) at the end of each of its nodes. What it raises is the block's failure."""


def execute(
    graph: Graph,
    demands: Mapping[str, Demand],
    capacity: Mapping[str, int],
    placements: Sequence[Placement],
    work: Work,
    made: Callable[[str], None] = lambda node: None,
) -> dict[str, BaseException]:
    """Do every block of a schedule, each in a thread of its own; returns the nodes that were not made, with why.

    made: told of every node that is, in the thread of the caller.

    What needs a node that was not made is not begun, for the same reason; the others are. An exception in this
    thread, such as Ctrl-C, is raised at once: whoever gave `work` ends what runs.
    """
    return _Execution(graph, demands, capacity, placements, work, made).run()


class _Execution:
    """What is done, running and free."""

    def __init__(
        self,
        graph: Graph,
        demands: Mapping[str, Demand],
        capacity: Mapping[str, int],
        placements: Sequence[Placement],
        work: Work,
        made: Callable[[str], None],
    ) -> None:
        self.graph, self.work, self.made = graph, work, made
        self.blocks = blocks_of(graph, demands)
        self.waiting = list(dict.fromkeys(placement.block for placement in placements))
        self.to_make = set(demands)
        self.failures: dict[str, BaseException] = {}
        self.free = {place: list(range(slots)) for place, slots in capacity.items()}
        self.running: dict[str, tuple[int, ...]] = {}
        self.inbox: queue.SimpleQueue[tuple[str, str | None, BaseException | None]] = queue.SimpleQueue()

    def run(self) -> dict[str, BaseException]:
        """Begin what can begin, then wait for news, until nothing is left."""
        self._begin()
        while self.running:
            block, node, error = self.inbox.get()
            if node is not None:
                self.to_make.discard(node)
                self.made(node)
            else:
                self._end(block, error)
            self._begin()
        return self.failures

    def _begin(self) -> None:
        full: set[str] = set()
        left = []
        for name in self.waiting:
            block = self.blocks[name]
            needs = {need for node in block.nodes for need in node.needs if self.graph[need].block != name}
            lost = sorted(needs & self.failures.keys())
            if lost:
                self._give_up(block, self.failures[lost[0]])
            elif needs & self.to_make:
                left.append(name)
            elif block.place in full or len(self.free[block.place]) < block.slots:
                full.add(block.place)
                left.append(name)
            else:
                self._start(block)
        self.waiting = left

    def _start(self, block: Block) -> None:
        free = sorted(self.free[block.place])
        slots, self.free[block.place] = tuple(free[: block.slots]), free[block.slots :]
        self.running[block.name] = slots
        threading.Thread(target=self._work, args=(block, slots), daemon=True).start()

    def _work(self, block: Block, slots: tuple[int, ...]) -> None:
        error: BaseException | None = None
        try:
            self.work(block, slots, lambda node: self.inbox.put((block.name, node, None)))
        except BaseException as raised:
            error = raised
        self.inbox.put((block.name, None, error))

    def _end(self, name: str, error: BaseException | None) -> None:
        block = self.blocks[name]
        self.free[block.place] += self.running.pop(name)
        if error is not None:
            self._give_up(block, error)
        else:
            self.to_make -= {node.name for node in block.nodes}

    def _give_up(self, block: Block, why: BaseException) -> None:
        self.failures |= {node.name: why for node in block.nodes if node.name in self.to_make}
