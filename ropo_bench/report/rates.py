"""Score against learning rate, from what the run's record carries of its tuning."""

from __future__ import annotations

from ropo_bench.leaderboard.rates import rates_of
from ropo_bench.report.data import RateCurve, RatePoint
from ropo_bench.runs.record import RunRecord


def rate_curves(record: RunRecord) -> list[RateCurve]:
    """The curve of every method of a run that was tuned, in the order of its rows; whether or not it trains there."""
    rates = rates_of(record)
    if rates is None or rates.tuning is None:
        return []
    tuning, found = rates.tuning, []
    for method in record.request.methods:
        if method.name in tuning.methods:
            tuned = tuning.methods[method.name]
            points = tuple(RatePoint(point.lr, point.value, point.low, point.high) for point in tuned.points)
            metric = f"{tuning.task} {tuning.metric}"
            found.append(RateCurve(method.name, metric, points, tuned.lr, tuned.corrected))
    return found
