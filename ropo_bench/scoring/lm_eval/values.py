"""From lm-eval's samples to values of items whose mean is lm-eval's aggregate, or to that aggregate as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Values:
    """One metric of one task with one filter. total: lm-eval's aggregate. unit: 100 where it is shown in percent.

    rows: of each sample its values, most often one; None where the aggregate is no mean of them.
    """

    samples: Sequence[Sample]
    total: float
    rows: Sequence[Sequence[float]] | None
    unit: float = 1.0


def values_of(samples: Sequence[Sample], metric: str, total: Any, aggregation: Callable[[Any], Any] | None) -> Values:
    """Of the samples of one filter that have the metric; aggregation: None is lm-eval's mean."""
    own = [sample for sample in samples if metric in sample["metrics"]]
    number = float(total) if _is_number(total) else math.nan
    given = [sample[metric] for sample in own]
    nested = any(isinstance(value, list) for value in given)
    rows = [_row(value) for value in given]
    whole = Values(own, number, None)
    if any(row is None for row in rows) or (aggregation is not None and not averages(aggregation, nested)):
        return whole
    numbers = [value for row in rows for value in row or ()]
    scored = [value for value in numbers if not math.isnan(value)]
    if not scored or not math.isclose(sum(scored) / len(scored), number, rel_tol=1e-9, abs_tol=1e-9):
        return whole
    return Values(own, number, [row or () for row in rows])


def averages(aggregation: Callable[[Any], Any], nested: bool) -> bool:
    """Whether an aggregation is a mean, of lists taken together where they are nested: seen by what it does.

    Not by a model's own values: with a metric that is 0 everywhere anything is a mean.
    """
    probes: Sequence[Any] = (
        ([[True], [False, True, True]], [[False, False], [True]], [[0], [1, 1], [0, 0]])
        if nested
        else ([0.0, 1.0, 0.25, 0.0], [1.0, 0.0, 0.0], [0.5, 1.0])
    )
    for probe in probes:
        numbers = [float(value) for part in probe for value in (part if nested else [part])]
        try:
            if not math.isclose(float(aggregation(probe)), sum(numbers) / len(numbers), abs_tol=1e-12):
                return False
        except Exception:  # a function for other values
            return False
    return True


def _row(value: Any) -> list[float] | None:
    values = value if isinstance(value, list) else [value]
    return [float(number) for number in values] if all(_is_number(number) for number in values) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) or type(value).__name__ in ("bool_", "bool")
