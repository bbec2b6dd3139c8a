"""One block of stages in a process of its own: `python -m ropo_bench.stages.parallel.worker`, started by crew.py.

The first line of standard input is its order; the end of standard input is the end of its parent, its own and that of
its whole group. On standard output it tells, as JSON lines, {"made": node}, at its end {"calls", "usd"} that judges
cost, and when it fails {"error", "message"}. Progress and notes are lines on standard error.
"""

from __future__ import annotations

import os
import sys

from ropo_bench.errors.failures import as_expected, note_work
from ropo_bench.terminal.channel import end_with_parent, open_channel


def main() -> None:
    """Make what is ordered; exit code 1 after an error, which is told."""
    tell = open_channel()
    line = sys.stdin.readline()
    end_with_parent(whole_group=True)
    from ropo_bench.judging.ledger import Budget
    from ropo_bench.stages.bench import Bench
    from ropo_bench.stages.parallel.order import Order, make_node
    from ropo_bench.store import Store
    from ropo_bench.terminal.progress import Progress
    from ropo_bench.training.team.launch import Launch

    order = Order.model_validate_json(line)
    budget = Budget(order.calls, order.usd)
    launch = Launch(order.processes, order.shard, order.gradient_checkpointing)
    failed = False
    try:
        with (
            Progress() as progress,
            Bench(Store(order.runs), order.suite, progress, launch, order.judges, budget) as bench,
        ):
            for node in order.nodes:
                try:
                    make_node(bench, order, node)
                except (Exception, SystemExit) as error:
                    note_work(error, node.name)
                    raise
                tell(made=node.name)
    except (Exception, SystemExit) as error:
        expected = as_expected(error)
        tell(error=type(expected).__name__, message=str(expected))
        failed = True
    tell(calls=budget.spent_calls, usd=budget.spent_usd)
    os._exit(failed)  # a thread waits on standard input


if __name__ == "__main__":
    main()
