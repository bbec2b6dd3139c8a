"""What a table says of its learning rates: how each was chosen, and what another choice would have changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ropo_bench.leaderboard.measurements import RowMeasurements
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.rates import Rates
from ropo_bench.runs.record import RunRecord


def rates_of(record: RunRecord) -> Rates | None:
    """How a run's learning rates were chosen; None for a run without methods, or from before this was recorded."""
    return record.request.rates if record.request.methods else None


def rate_lines(record: RunRecord) -> list[str]:
    """The lines under a table: which methods train at tuned rates, how those were found, and which do not."""
    rates = rates_of(record)
    if rates is None:
        return []
    methods = [method for method in record.request.methods if method.name not in rates.neighbours]
    tuned = [method for method in methods if rates.is_tuned(method, record.base, record.data_sha256)]
    others = [method for method in methods if method not in tuned]
    lines = [_tuned_line(rates, tuned)] if tuned else []
    if others:
        lines.append(
            f"learning rates: {_list_rates(others)}: one rate a method, not tuned; an order among these may be one of"
            " their learning rates"
        )
    return lines


def _tuned_line(rates: Rates, methods: Sequence[MethodRecipe]) -> str:
    tuning = rates.tuning
    assert tuning is not None
    edges = [method.name for method in methods if tuning.methods[method.name].at_edge]
    return (
        f"learning rates: {_list_rates(methods)}: tuned by {tuning.metric} on {tuning.task}"
        f" ({tuning.num_prompts:,} prompts), grid of {len(tuning.grid)} rates over {tuning.decades:.1f} decades, the"
        f" same for all, {len(tuning.seeds)} seeds around the peak"
        + (f"; at an end of the grid, where a better rate may lie beyond: {', '.join(edges)}" if edges else "")
    )


def _list_rates(methods: Sequence[MethodRecipe]) -> str:
    return ", ".join(f"{method.name} {method.train.lr:g}" for method in methods)


def choice_lines(record: RunRecord, measured: Mapping[str, Mapping[str, RowMeasurements]]) -> list[str]:
    """For a run of curves, a line a tested column: how far its methods' cells hang on which rate was chosen.

    measured: by task, then by row, neighbours among them.
    """
    rates = rates_of(record)
    if rates is None or rates.tuning is None or not rates.neighbours:
        return []
    lines = []
    for task in record.request.tasks:
        for place, column in enumerate(task.columns):
            if task.is_tested(column):
                rows = {name: row.cells[place].value for name, row in measured[task.name].items()}
                errors = {name: _error_of(name, rates, rows) for name in rates.tuning.methods}
                text = ", ".join(
                    f"{name} ± {error:.{column.decimals}f}" for name, error in errors.items() if error is not None
                )
                if text:
                    lines.append(f"error of choosing the rate on {task.name} {column.header}: {text}")
    return lines


def _error_of(name: str, rates: Rates, values: Mapping[str, float | None]) -> float | None:
    """How much a method's number in a column depends on the chosen rate; None where one of its rows has no number."""
    assert rates.tuning is not None
    own = {row: near.share for row, near in rates.neighbours.items() if near.method == name}
    chosen = next(p.share for p in rates.tuning.methods[name].points if p.lr == rates.tuning.methods[name].lr)
    shares = {name: chosen, **own}
    measured = [(value, share) for row, share in shares.items() if (value := values.get(row)) is not None]
    return choice_error(*zip(*measured, strict=True)) if len(measured) == len(shares) and own else None


def choice_error(values: Sequence[float], shares: Sequence[float]) -> float:
    """Standard deviation of a method's value over the rates that might have been chosen, each by its share of draws.

    values: of the same rates as shares, by the task that is reported, not the one that chose. Shares need not add up
    to 1: draws that chose a rate that was not run are left out.
    """
    total = sum(shares)
    if total == 0:
        return 0.0
    mean = sum(value * share for value, share in zip(values, shares, strict=True)) / total
    return math.sqrt(sum(share * (value - mean) ** 2 for value, share in zip(values, shares, strict=True)) / total)
