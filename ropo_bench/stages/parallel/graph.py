"""The graph of a run's stages as data: which stage needs which, and what one process makes together.

pairs -> reference -> policy of a method and seed -> merged -> completions of a task -> scores. Nothing here knows
how long a stage takes or where it runs: the planner says that, and an executor does it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ropo_bench.recipes.method import MethodRecipe, TrainRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.record import SFT
from ropo_bench.scoring import runs_model
from ropo_bench.store import canonical_json

StageName = Literal["pairs", "reference", "policy", "merged", "completions", "scores", "canaries"]


@dataclass(frozen=True, slots=True)
class Node:
    """One stage of one row.

    name: unique in its graph. what: a task, or the lengths of a reference pass. needs: names of the nodes that must
    be made before. block: nodes of one block are made by one process, one after another, with one model in memory.
    judged: whether a judge is asked.
    """

    name: str
    stage: StageName
    row: str
    seed: int = 0
    what: str = ""
    needs: tuple[str, ...] = ()
    block: str = ""
    judged: bool = False


Graph = Mapping[str, Node]
"""Nodes by name; what a node needs stands before it."""


def make_graph(
    methods: Sequence[MethodRecipe],
    seeds: Collection[int],
    tasks: Sequence[TaskRecipe],
    judges: Collection[str],
    checkpoints: Collection[str] = (),
    canaries: bool = True,
    reads_reference: Callable[[MethodRecipe], bool] = lambda method: True,
) -> Graph:
    """The stages of a request, in the order of one process that makes them all.

    judges: names of the tasks that are judged. checkpoints: names of rows that were trained elsewhere.
    """
    nodes: dict[str, Node] = {}
    if methods:
        _add(nodes, "pairs", "", 0)
    for row in (SFT, *checkpoints):
        _add_answers(nodes, row, 0, (), tasks, judges)
    for task in tasks:
        if canaries and task.name in judges:
            needs = () if task.baseline is not None else (_answers(SFT, 0, task, tasks),)
            _add(nodes, "canaries", SFT, 0, task.name, needs, judged=True)
    for method in methods:
        needs = (_reference(nodes, method.train),) if reads_reference(method) else ("pairs",)
        for seed in seeds:
            policy = _add(nodes, "policy", method.name, seed, needs=needs)
            merged = _add(nodes, "merged", method.name, seed, needs=(policy,))
            _add_answers(nodes, method.name, seed, (merged,), tasks, judges)
    return nodes


def describe_reference(train: TrainRecipe) -> str:
    """What tells the reference passes of a request apart, in words."""
    return f"{train.max_length} tokens, {train.dtype}"


def reference_name(train: TrainRecipe) -> str:
    """The name of the node of a method's reference pass."""
    return f"reference {describe_reference(train)} {train.max_prompt_length}"


def _reference(nodes: dict[str, Node], train: TrainRecipe) -> str:
    name = reference_name(train)
    nodes.setdefault(name, Node(name, "reference", SFT, 0, describe_reference(train), ("pairs",), name))
    return name


def _add(
    nodes: dict[str, Node],
    stage: StageName,
    row: str,
    seed: int,
    what: str = "",
    needs: tuple[str, ...] = (),
    block: str = "",
    judged: bool = False,
) -> str:
    name = _name(stage, row, seed, what)
    nodes[name] = Node(name, stage, row, seed, what, needs, block or name, judged)
    return name


def _name(stage: str, row: str, seed: int, what: str) -> str:
    place = f"{row} seed {seed}" if row and row != SFT else row
    return " ".join(part for part in (stage, place, what) if part)


def _add_answers(
    nodes: dict[str, Node],
    row: str,
    seed: int,
    model: tuple[str, ...],
    tasks: Sequence[TaskRecipe],
    judges: Collection[str],
) -> None:
    """A model's answers and what is measured on it, by one process; then scores, each when its answers are there."""
    block = _name("answers", row, seed, "")
    for task in tasks:
        name = _answers(row, seed, task, tasks)
        if task.decoding is not None and name not in nodes:  # tasks may share their answers
            _add(nodes, "completions", row, seed, task.name, model, block)
    on_the_model = [task for task in tasks if runs_model(task)]
    for task in on_the_model:
        _add(nodes, "scores", row, seed, task.name, model, block)
    for task in tasks:
        if task not in on_the_model:
            needs = dict.fromkeys(_read_by_scores(row, seed, model, task, tasks))
            _add(nodes, "scores", row, seed, task.name, tuple(needs), judged=task.name in judges)


def _read_by_scores(
    row: str, seed: int, model: tuple[str, ...], task: TaskRecipe, tasks: Sequence[TaskRecipe]
) -> Iterator[str]:
    """What scoring reads: the weights, or the model's answers and the base model's where those are the opponent."""
    if task.decoding is None:
        yield from model
        return
    yield _answers(row, seed, task, tasks)
    if task.baseline is None:
        yield _answers(SFT, 0, task, tasks)


def _answers(row: str, seed: int, task: TaskRecipe, tasks: Sequence[TaskRecipe]) -> str:
    """The node of a task's answers, that of the first task with the same prompts and decoding; "" without prompts."""
    if task.decoding is None:
        return ""
    first = next(other for other in tasks if other.decoding is not None and _drawn(other) == _drawn(task))
    return _name("completions", row, seed, first.name)


def _drawn(task: TaskRecipe) -> str:
    return canonical_json([task.prompts, task.decoding.model_dump() if task.decoding else None])
