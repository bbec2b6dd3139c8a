"""`ropo-bench plan`: what a run would do and need, with nothing made, fetched or asked."""

from __future__ import annotations

from ropo_bench import planning
from ropo_bench.errors import UsageError
from ropo_bench.planning.plan import plan
from ropo_bench.planning.power import Wanted
from ropo_bench.request import Request
from ropo_bench.store import Store
from ropo_bench.store.bounded import dump_json
from ropo_bench.terminal.screen import say


def plan_command(
    request: Request,
    store: Store,
    json: bool,
    machine: planning.Machine | None = None,
    effects: Wanted | None = None,
) -> None:
    """Print the plan of a request, for this machine or a given one, and what the wanted effects need.

    Raises UsageError for a base, data or prompts that cannot be, and, after the plan, for what cannot fit.
    """
    record = plan(request, store, machine, effects)
    if json:
        say(dump_json(record))
    else:
        from ropo_bench.commands.plan.text import print_plan

        print_plan(record)
    if record["refused"] is not None:
        elsewhere = "; to plan for another machine: --machine 8xH100-80G" if machine is None else ""
        raise UsageError(record["refused"] + elsewhere)
