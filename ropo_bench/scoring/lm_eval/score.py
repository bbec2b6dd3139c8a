"""The scorer of lm-eval's tasks: every metric of a task, or of a group and its tasks, item by item."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.lm_eval.columns import Aggregate, Metric, aggregates, is_fraction
from ropo_bench.recipes.lm_eval.definition import Definition
from ropo_bench.recipes.lm_eval.options import LmEvalOptions
from ropo_bench.recipes.lm_eval.recipe import definition_of
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.lm_eval.lm import make_lm
from ropo_bench.scoring.lm_eval.run import evaluate, load_tasks
from ropo_bench.scoring.lm_eval.values import Values, values_of
from ropo_bench.types import Score
from ropo_bench.types.engines import Subject

Table = Mapping[tuple[str, str], Values]
"""By task and lm-eval's key, "metric,filter"."""


def score(task: TaskRecipe, subject: Subject) -> list[Score]:
    """`METRIC`, `METRIC/FILTER`, of a group's tasks `METRIC/TASK`: what lm-eval's own command measures.

    An item is a document, an element of one where a metric is a list (ifeval's instructions); the mean of a column is
    lm-eval's aggregate. Fractions are in percent. A metric that is no mean of items (perplexity, corpus BLEU) is one
    score of the whole, which its detail says. Options: see LmEvalOptions. Raises UsageError for what cannot be run.
    """
    options = LmEvalOptions.model_validate(task.options)
    definition = definition_of(options)
    loaded = load_tasks(options, definition, subject.folder)
    results = evaluate(make_lm(subject, options.batch_size), loaded, options)
    scores = scores_of(definition, loaded["tasks"], results)
    metrics = list(dict.fromkeys(score.metric for score in scores))
    if task.columns[0].metric not in metrics:
        raise UsageError(
            f"task {task.name}: lm-eval gave no {task.columns[0].metric}, which would be compared; it gave"
            f" {', '.join(metrics) or 'nothing'}: name one as the first of columns in a task file"
        )
    return scores


def scores_of(definition: Definition, tasks: Mapping[str, Any], results: Mapping[str, Any]) -> list[Score]:
    """All scores of lm-eval's results (with samples); a group's own come first."""
    table = _table(tasks, results)
    numbers = results["results"]
    scores = [score for part in aggregates(definition) for score in _aggregate(part, table, numbers)]
    for (name, key), values in table.items():
        metric, _, filter_ = key.rpartition(",")
        label = Metric(metric, filter_).label("" if definition.members is None else name)
        scores += _scores(label, name, values, response=True)
    return scores


def _table(tasks: Mapping[str, Any], results: Mapping[str, Any]) -> dict[tuple[str, str], Values]:
    table = {}
    for name, task in tasks.items():
        aggregation = task.aggregation()
        for key, total in results["results"][name].items():
            metric, comma, filter_ = key.rpartition(",")
            if not comma or metric.endswith("_stderr") or metric == "bypass":
                continue
            samples = [sample for sample in results["samples"][name] if sample["filter"] == filter_]
            samples.sort(key=lambda sample: int(sample["doc_id"]))
            values = values_of(samples, metric, total, aggregation.get(metric))
            table[name, key] = replace(values, unit=_unit(metric, task, values))
    return table


def _unit(metric: str, task: Any, values: Values) -> float:
    """100 for a fraction, 1 for what lm-eval gives in a unit of its own (or in percent already: some f1 are)."""
    written_in_python = type(task).__name__ != "ConfigurableTask"
    numbers = [values.total, *(value for row in values.rows or () for value in row)]
    above = any(number > 1 for number in numbers if not math.isnan(number))
    return 1.0 if written_in_python or above or not is_fraction(metric) else 100.0


def _scores(label: str, name: str, values: Values, response: bool = False) -> Iterator[Score]:
    if values.rows is None:
        yield _whole(label, name, values.total * values.unit, len(values.samples))
        return
    for sample, row in zip(values.samples, values.rows, strict=True):
        document = f"{name}:{sample['doc_id']}"
        detail = {"task": name, **({"response": _plain(sample["filtered_resps"])} if response else {})}
        for number, value in enumerate(row):
            item = document if len(row) == 1 else f"{document}:{number}"
            missing = math.isnan(value)
            status: Any = "unparsable" if missing else "scored"
            yield Score(item, document, label, None if missing else value * values.unit, status, detail)


def _whole(label: str, name: str, value: float, num_items: int) -> Score:
    detail = {"task": name, "whole": f"lm-eval's aggregate of {num_items} items, which is no mean of them"}
    return Score(name, name, label, value, detail=detail)


def _aggregate(aggregate: Aggregate, table: Table, results: Mapping[str, Any]) -> Iterator[Score]:
    """A group's number: its tasks' items again, or the whole where items do not make it."""
    key = aggregate.metric.key
    own = {name: table[name, key] for name in aggregate.tasks if (name, key) in table}
    if not own:
        return
    total = results.get(aggregate.group, {}).get(key) if aggregate.own else None
    if all(values.rows is not None for values in own.values()) and _is_made(aggregate, own.values(), total):
        for name, values in own.items():
            yield from _scores(aggregate.label, name, values)
    elif total is not None:
        num_items = sum(len(values.samples) for values in own.values())
        yield _whole(
            aggregate.label, aggregate.group, float(total) * max(values.unit for values in own.values()), num_items
        )


def _is_made(aggregate: Aggregate, tables: Any, total: Any) -> bool:
    """Whether a group's number is that of its items, as its column's estimator takes them."""
    parts: Sequence[Sequence[float]] = [[value for row in values.rows for value in row] for values in tables]
    if total is None:
        return True
    if aggregate.weighted:
        made = sum(map(sum, parts)) / max(1, sum(map(len, parts)))
    else:
        made = sum(sum(part) / max(1, len(part)) for part in parts) / len(parts)
    return math.isclose(made, float(total), rel_tol=1e-9, abs_tol=1e-9)


def _plain(value: Any) -> Any:
    """JSON of a response as lm-eval filtered it; log-likelihoods to five places."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return round(value, 5)
    return json.loads(json.dumps(value, default=str))
