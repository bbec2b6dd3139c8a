"""The columns of an lm-eval task or group: its metrics with its filters, known from the definition alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ropo_bench.errors import UsageError, first_line
from ropo_bench.recipes.lm_eval.definition import Definition, Function
from ropo_bench.recipes.task import Column

DEFAULTS: Mapping[str, Sequence[str]] = {
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "multiple_choice": ("acc", "acc_norm"),
    "generate_until": ("exact_match",),
}
"""lm-eval's metrics of a task that names none."""
LOWER = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter")
WHOLE = (*LOWER, "weighted_perplexity", "bleu", "chrf", "chrf++", "f1", "mcc", "matthews_corrcoef", "median")
"""Aggregations that are no mean of items, or metrics that have such a one where they name none."""
FRACTIONS = ("acc", "accuracy", "exact_match", "em", "f1")
NO_FILTER = "none"

Better = Literal["higher", "lower", "none"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a task, as lm-eval names it: metric and filter. is_whole: it is made of all items together."""

    name: str
    filter: str
    better: Better = "higher"
    is_fraction: bool = False
    is_whole: bool = False

    def label(self, member: str = "") -> str:
        """Our name of it: acc, exact_match/strict-match, of a group's member acc/MEMBER."""
        return "/".join(part for part in (self.name, self.filter.replace(NO_FILTER, ""), member) if part)

    @property
    def key(self) -> str:
        """Its key in lm-eval's results."""
        return f"{self.name},{self.filter}"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One number of a group. member: its name, empty for the whole. weighted: whether items count the same, or tasks.

    own: whether lm-eval has it, too; where it has none, a tag say, the first metric's macro mean stands first.
    """

    metric: Metric
    group: str
    member: str
    tasks: tuple[str, ...]
    weighted: bool
    own: bool = True

    @property
    def label(self) -> str:
        """Our name of it."""
        return self.metric.label(self.member)


def is_fraction(name: str) -> bool:
    """Whether a metric lies between 0 and 1 by its name, so that it is shown in percent."""
    return name in FRACTIONS or name.startswith(("acc_", "pass@")) or name.endswith(("_acc", "_accuracy"))


def columns_of(definition: Definition) -> list[Column]:
    """A task's metrics; a group's aggregates, then its tasks' metrics. Raises UsageError where there is none."""
    columns = [
        _column(part.metric, part.label, "mean" if part.weighted else "macro_mean") for part in aggregates(definition)
    ]
    for name, task in definition.tasks().items():
        member = "" if definition.members is None else name
        columns += [_column(metric, metric.label(member)) for metric in metrics_of(task)]
    if not columns:
        raise UsageError(f"lm-eval task {definition.name}: it defines no metric; name columns in a task file")
    return list({column.metric: column for column in columns}.values())


def _column(metric: Metric, label: str, estimator: str = "mean") -> Column:
    percent = metric.is_fraction
    return Column(
        metric=label,
        header=f"{label} %" if percent else label,
        estimator="census" if metric.is_whole else estimator,
        decimals=2 if percent else 4,
        better=metric.better,
        scale=[0.0, 100.0] if percent else None,
    )


def metrics_of(task: Definition) -> list[Metric]:
    """lm-eval's numbers of a task: each metric with each filter, in the definition's order."""
    config = task.config
    if "class" in config:
        return _class_metrics(task)
    filters = [entry["name"] for entry in config.get("filter_list") or [{"name": NO_FILTER}]]
    listed = config.get("metric_list")
    if listed is None:
        output = config.get("output_type", "generate_until")
        listed = [{"metric": name} for name in DEFAULTS.get(output, ())]
    return [
        Metric(name, filter_, _better(name, entry), is_fraction(name), entry.get("aggregation", name) in WHOLE)
        for entry in listed
        for name in _names(entry)
        for filter_ in filters
    ]


def _names(entry: Mapping[str, Any]) -> list[str]:
    metric = entry["metric"]
    name = metric.name if isinstance(metric, Function) else str(metric)
    if name == "pass_at_k" and isinstance(entry.get("k"), list):  # the one that gives a number for each of a list
        return [f"pass@{k}" for k in entry["k"]]
    return [] if name == "bypass" else [name]


def _better(name: str, entry: Mapping[str, Any]) -> Better:
    higher = entry.get("higher_is_better", name not in LOWER)
    return "none" if higher is None else "higher" if higher else "lower"


def _class_metrics(task: Definition) -> list[Metric]:
    """Of a task written in Python, which its class alone knows; its numbers are shown as they are."""
    [path, *_] = sorted(file for file in task.files if file.suffix == ".yaml" and _defines(file, task.name))
    try:
        from lm_eval.tasks._yaml_loader import load_yaml

        written: Any = load_yaml(path)["class"]
        higher: Mapping[str, Any] = written.higher_is_better(object.__new__(written))  # without its data
    except Exception as error:  # whatever somebody's class raises
        problem = f"{type(error).__name__}: {first_line(error)}"
        raise UsageError(
            f"lm-eval task {task.name}: its class does not tell its metrics ({problem}); name columns in a task file"
        ) from error
    return [Metric(name, NO_FILTER, "higher" if value else "lower") for name, value in higher.items()]


def _defines(path: Path, name: str) -> bool:
    return any(line.startswith("task:") and name in line for line in path.read_text(encoding="utf-8").splitlines())


def aggregates(definition: Definition) -> list[Aggregate]:
    """The numbers of a group and of the groups in it; of one without, its tasks' first metric if all have that."""
    own = [number for group in definition.groups() for number in _aggregates(group, definition.name)]
    if definition.members is None or any(number.group == definition.name for number in own):
        return own
    listed = [metrics_of(task) for task in definition.tasks().values()]
    first = listed[0][0] if listed and listed[0] else None
    if first is None or not all(any(metric.key == first.key for metric in metrics) for metrics in listed):
        return own
    whole = Aggregate(first, definition.name, "", tuple(definition.tasks()), weighted=False, own=False)
    return [whole, *own]


def _aggregates(group: Definition, whole: str) -> Iterator[Aggregate]:
    tasks = {name: metrics_of(task) for name, task in group.tasks().items()}
    entries = group.config.get("aggregate_metric_list") or []
    for entry in [entries] if isinstance(entries, dict) else entries:
        there = {
            metric.filter: metric
            for metrics in tasks.values()
            for metric in metrics
            if metric.name == entry["metric"]
        }
        filters = entry.get("filter_list") or sorted(there)
        for filter_ in [filters] if isinstance(filters, str) else filters:
            if filter_ in there:
                key = there[filter_].key
                having = [name for name, metrics in tasks.items() if key in (metric.key for metric in metrics)]
                member = "" if group.name == whole else group.name
                weighted = bool(entry.get("weight_by_size", True))
                yield Aggregate(there[filter_], group.name, member, tuple(having), weighted)
