"""How long each stage of a request takes on a machine: as finished ones took, else by its devices' roofline."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ropo_bench import planning
from ropo_bench.judging.canary_power import num_calls, num_grade_calls
from ropo_bench.planning.choice import Choice, choices
from ropo_bench.planning.devices import find_device
from ropo_bench.planning.inventory import DONE, Inventory, Step, num_turns
from ropo_bench.planning.judge_costs import CHARACTERS_PER_TOKEN
from ropo_bench.planning.machine import CPU as NO_DEVICE
from ropo_bench.planning.machine import Machine
from ropo_bench.planning.roofline import COMPLETION_TOKENS, PROMPT_TOKENS, SCORING_SECONDS, Roofline, judging
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.request import Request
from ropo_bench.runs.record import SFT
from ropo_bench.scoring import find_judged, runs_model
from ropo_bench.stages.parallel.graph import Graph, Node, describe_reference
from ropo_bench.stages.parallel.schedule import CPU, DEVICE, JUDGE, Demand

MEASURED, ESTIMATED = "measured", "estimate"
CPU_SLOTS = 8
SAMPLE = 1000  # pairs whose lengths are counted
STEPS = {"policy": "train", "merged": "merge", "completions": "generate", "reference": "reference"}
"""A node's stage by the name that a plan's steps have for it; scores are score or judge."""


@dataclass(frozen=True, slots=True)
class Option:
    """A way to make a node: its demand, what its seconds rest on, and for a training how it is spread."""

    demand: Demand
    basis: str
    choice: Choice | None = None


def _key(step: Step) -> tuple[str, str, int, str]:
    if step.stage in ("train", "merge"):
        return step.stage, step.row, step.seed, ""
    return step.stage, "" if step.stage == "canaries" else step.row, step.seed, step.what


class Durations:
    """How long each node takes: as finished stages took, else by the roofline of a device that is known."""

    def __init__(
        self,
        request: Request,
        inventory: Inventory,
        machine: Machine,
        graph: Graph,
        steps: Sequence[Step],
        here: bool,
    ) -> None:
        self.request, self.inventory, self.machine, self.here = request, inventory, machine, here
        self.steps = {_key(step): step for step in steps}
        self.methods = {method.name: method for method in request.methods}
        self.tasks = {task.name: task for task in request.tasks}
        self.slots = min(
            machine.num_devices, request.suite.vllm.tensor_parallel_size * request.suite.vllm.data_parallel_size
        )
        device = find_device(machine.name, machine.device_bytes)
        pairs, model = inventory.num_pairs() if request.methods else 0, inventory.anatomy
        self.roofline: Roofline | None = None
        if device is not None and model is not None and pairs is not None:
            dtype = request.suite.merge.dtype
            self.roofline = Roofline(model, device, dtype, pairs, mean_pair_tokens(inventory))
        self.first = {node.block: node.name for node in reversed(list(graph.values())) if not self.is_done(node)}
        """Of every block the node that comes first: it pays for the start."""

    def is_done(self, node: Node) -> bool:
        """Whether a node is made already."""
        if node.stage == "pairs":
            return self.inventory.pairs.done
        step = self._step(node)
        return step is not None and step.state == DONE

    def _step(self, node: Node) -> Step | None:
        stage = STEPS.get(node.stage, node.stage)
        if node.stage == "scores":
            stage = "judge" if node.judged else "score"
        row = "" if node.stage == "canaries" else node.row
        return self.steps.get((stage, row, node.seed, node.what))

    def options(self, node: Node) -> list[Option]:
        """The ways to make a node, from the fewest slots to the most; none where its time is not known."""
        step = self._step(node)
        measured = step.seconds if self.here and step is not None else None
        place, slots = self._place(node)
        if measured is not None:
            wide = self.machine.num_devices if node.stage in ("policy", "reference") else slots
            return [Option(Demand(place, wide, measured), MEASURED)]
        if node.stage == "policy":
            return self._trainings(self.methods[node.row])
        seconds = self._seconds(node, slots)
        return [] if seconds is None else [Option(Demand(place, slots, seconds), ESTIMATED)]

    def _place(self, node: Node) -> tuple[str, int]:
        if node.stage == "pairs" or (
            node.stage == "scores" and not node.judged and not runs_model(self.tasks[node.what])
        ):
            return CPU, CPU_SLOTS if node.what and self.tasks[node.what].decoding is None else 1
        if node.judged:
            judge = self.request.judges[node.what]
            serve = judge.serve.tensor_parallel_size if judge.serve is not None else 1
            local = judge.is_local and self.machine.name != NO_DEVICE
            return (DEVICE, min(serve, self.machine.num_devices)) if local else (f"{JUDGE} {judge.name}", 1)
        if node.stage == "reference":
            return DEVICE, self.machine.num_devices
        return DEVICE, 1 if node.stage == "merged" else self.slots

    def _trainings(self, method: MethodRecipe) -> list[Option]:
        roofline, model = self.roofline, self.inventory.anatomy
        if roofline is None or model is None:
            return []
        found = [(choice, roofline.training(method, choice)) for choice in choices(model, method, self.machine)]
        return [
            Option(Demand(DEVICE, choice.spread.num_devices, seconds), ESTIMATED, choice)
            for choice, seconds in found
            if seconds is not None
        ]

    def _seconds(self, node: Node, slots: int) -> float | None:
        """By the roofline; the first node of a block pays for the start of its engine."""
        roofline = self.roofline
        if roofline is None:
            return None
        if node.stage in ("pairs", "reference", "merged"):
            return self._around_training(roofline, node, slots)
        if node.judged:
            return self._judging(node)
        task = self.tasks[node.what]
        if node.stage == "completions":
            prompts, turns = num_turns(task)
            answers = turns * (task.decoding.num_samples if task.decoding else 1)
            seconds = roofline.generation(task, answers, prompts, slots)
        elif runs_model(self.tasks[node.what]):
            seconds = roofline.scoring(task, slots)
        else:
            return roofline.energy(self.methods.get(node.row)) if task.decoding is None else SCORING_SECONDS
        start = roofline.starting() if self.first.get(node.block) == node.name else 0.0
        return None if seconds is None else start + seconds

    def _around_training(self, roofline: Roofline, node: Node, slots: int) -> float:
        """Pairs, reference passes and merges."""
        if node.stage == "pairs":
            return roofline.reading()
        if node.stage == "merged":
            return roofline.merging()
        methods = (method for method in self.request.methods if describe_reference(method.train) == node.what)
        return roofline.reference(next(methods).train, slots)

    def _judging(self, node: Node) -> float:
        task, judge = self.tasks[node.what], self.request.judges[node.what]
        if node.stage == "canaries":
            prompts = num_turns(task)[0]
            calls = planning.canary_calls(task, judge, num_calls(prompts), num_grade_calls(prompts))
        else:
            models = 0 if node.row == SFT and _is_opponent(task) else 1
            calls = planning.judge_calls(task, judge, num_turns(task)[1], models)
        return judging(judge, calls)


def _is_opponent(task: TaskRecipe) -> bool:
    scorer = find_judged(task.scorer)
    return task.baseline is None and scorer is not None and scorer.compares


def mean_pair_tokens(inventory: Inventory) -> float:
    """Tokens of a pair, its prompt once: by the characters of pairs that are here, else about UltraFeedback's."""
    longest = max((2 * method.train.max_length for method in inventory.request.methods), default=0)
    if not inventory.pairs.done:
        return float(min(longest, PROMPT_TOKENS + 2 * COMPLETION_TOKENS))
    lengths = []
    with inventory.pairs.file("pairs.jsonl").open(encoding="utf-8") as lines:
        for line, _ in zip(lines, range(SAMPLE), strict=False):
            pair: dict[str, Any] = json.loads(line)
            lengths.append(sum(map(len, _texts(pair))))
    return min(longest, sum(lengths) / max(1, len(lengths)) / CHARACTERS_PER_TOKEN)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a pair but its id."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in ("id", "role"):
                yield from _texts(part)
