"""What a worker process is asked to make, nodes of the graph with every recipe that they need; and their making."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.method import MethodRecipe, Recipe, TrainRecipe
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.record import SFT
from ropo_bench.stages import canaries, completions, kept, merged, pairs, policy, reference, scores
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.stages.parallel.graph import Node, reference_name
from ropo_bench.store import Stage
from ropo_bench.weights.files import is_adapter


class Order(Recipe):
    """Nodes to make, one after another, in the store `runs`; processes, shard, gradient_checkpointing: see Launch.

    calls, usd: what may be spent on judges, None is no limit.
    """

    runs: Path
    suite: SuiteRecipe
    methods: list[MethodRecipe]
    tasks: list[TaskRecipe]
    judges: dict[str, JudgeRecipe]
    checkpoints: dict[str, str]
    nodes: list[Node] = Field(default_factory=list)
    processes: int = 1
    shard: bool = False
    gradient_checkpointing: bool | None = None
    calls: int | None = None
    usd: float | None = None


def make_node(bench: Bench, order: Order, node: Node) -> None:
    """Make a node, unless that was done; what it needs is there."""
    if node.stage == "pairs":
        pairs.make(bench)
    elif node.stage == "reference":
        reference.make(bench, _train(order, node))
    elif node.stage == "policy":
        policy.make(bench, _method(order, node), node.seed)
    elif node.stage == "merged":
        merged.make(bench, policy.stage(bench, _method(order, node), node.seed), node.row, node.seed)
    elif node.stage == "canaries":
        canaries.make(bench, _task(order, node))
    elif node.stage == "completions":
        completions.make(bench, _model(bench, order, node), _task(order, node), node.row)
    else:
        scores.make(bench, _model(bench, order, node), _task(order, node), node.row)


def is_made(bench: Bench, order: Order, node: Node) -> bool:
    """Whether nothing is left to do for a node; what judges could not answer is asked again."""
    if node.stage in ("completions", "scores"):
        model, task = _stored_model(bench, order, node), _task(order, node)
        if model is None:
            return False
        if node.stage == "completions":
            return completions.stage(bench, model, task).done
        return scores.are_final(bench, model, task)
    if node.stage in ("policy", "merged"):
        trained = policy.stage(bench, _method(order, node), node.seed)
        whole = merged.stage(bench, trained.key)
        is_whole = whole.whole or (node.stage == "policy" and trained.whole)
        return (is_whole and trained.done) or kept.is_spent(bench, trained, node.seed, order.tasks)
    stage = _stage(bench, order, node)
    return stage.done and not stage.manifest.get(scores.FAILED)


def _stage(bench: Bench, order: Order, node: Node) -> Stage:
    """The stage of a node that is about no row."""
    if node.stage == "pairs":
        return pairs.stage(bench)
    if node.stage == "reference":
        return reference.stage(bench, _train(order, node))
    return canaries.stage(bench, _task(order, node))


def _train(order: Order, node: Node) -> TrainRecipe:
    """The settings that a reference pass is named by."""
    return next(method.train for method in order.methods if reference_name(method.train) == node.name)


def _method(order: Order, node: Node) -> MethodRecipe:
    return next(method for method in order.methods if method.name == node.row)


def _task(order: Order, node: Node) -> TaskRecipe:
    return next(task for task in order.tasks if task.name == node.what)


def _model(bench: Bench, order: Order, node: Node) -> Model:
    if node.row in order.checkpoints:
        return merged.make_checkpoint(bench, order.checkpoints[node.row], node.row)[0]
    model = _stored_model(bench, order, node)
    assert model is not None
    return model


def _stored_model(bench: Bench, order: Order, node: Node) -> Model | None:
    """The model of a row; None for an adapter that was trained elsewhere and has to be merged first."""
    if node.row == SFT:
        return bench.base
    if node.row in order.checkpoints:
        checkpoint = bench.checkpoint(order.checkpoints[node.row])
        if not is_adapter(checkpoint.folder):
            return checkpoint
        whole = merged.stage(bench, checkpoint.key)
        return merged.model(whole, 0) if whole.done else None
    trained = policy.stage(bench, _method(order, node), node.seed)
    return merged.model(merged.stage(bench, trained.key), node.seed)
