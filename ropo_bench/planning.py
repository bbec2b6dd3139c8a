"""What a run will need, as pure estimates: steps, memory, disk, judge calls, money, detectable effects.

Every figure that is not exact says in NOTES what it assumes. Sizes in bytes, money in US dollars.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from ropo_bench.judges import JudgeRecipe
from ropo_bench.methods import TrainRecipe
from ropo_bench.shapes import Anatomy, head_dim
from ropo_bench.statistics import minimum_detectable_effect
from ropo_bench.suites import ShapeRecipe
from ropo_bench.tasks import TaskRecipe

REFERENCE_FREE = ("simpo", "orpo", "cpo")
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
HEAD_TOKENS = 2048  # logits exist for at most so many completion tokens at once (training/logprobs.py)
PROMPT_TOKENS = 1024  # assumed of a chat before its last answer, where a batch's memory is estimated
CHARACTERS_PER_TOKEN = 4
PROMPT_SETS = {"mt-bench": (80, 160), "alpaca-eval-2": (805, 805)}
"""Prompts and turns of the public prompt sets, which a plan needs before their files are there."""

NOTES = {
    "memory": (
        "memory: fp32 weights, gradients and two Adam moments of what trains; activations of one micro-batch whose "
        "sequences all have max_length, from the sizes of a Llama block: within about a third"
    ),
    "judge tokens": (
        f"judge tokens: {CHARACTERS_PER_TOKEN} characters a token; lengths are means of published GPT-4 judgments, "
        "longer answers cost more; calls are without retries"
    ),
    "time": "time: means of finished stages in this runs folder, same method and size of model, or same task",
}


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a judged scorer asks: questions a turn, characters of a question and of its answer.

    compares: with the baseline, so that a baseline model itself is not judged; canaries then are comparisons too.
    """

    calls_per_turn: int
    input_characters: int
    output_characters: int
    compares: bool


# Means over the published judgments and answers of the asset mirror: 1,600 MT-Bench judgments (3,130 and 795
# characters); pairs of answers of ten models in the pairwise templates; 2,415 AlpacaEval annotations (one token).
PROTOCOLS = {
    "mt-bench": Protocol(1, 3130, 795, False),
    "mt-bench-pairwise": Protocol(2, 5400, 800, True),
    "alpaca-eval": Protocol(1, 4930, CHARACTERS_PER_TOKEN, True),
}


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak memory of training, by what it holds; activations None where the architecture's sizes are unknown."""

    weights: int
    gradients: int
    optimizer: int
    activations: int | None

    @property
    def total(self) -> int | None:
        """All of it; None where a part is unknown."""
        if self.activations is None:
            return None
        return self.weights + self.gradients + self.optimizer + self.activations


@dataclass(frozen=True, slots=True)
class Calls:
    """What a judge will be asked: calls, tokens in and out, and their price; None where the recipe has no prices."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


def num_steps(num_pairs: int, train: TrainRecipe) -> int:
    """Optimizer steps of a training on so many pairs."""
    steps = math.ceil(round(train.epochs * num_pairs) / train.batch_size)
    return steps if train.max_steps is None else min(steps, train.max_steps)


def training_memory(model: Anatomy, trainable: int, adapter: bool, train: TrainRecipe) -> Memory:
    """Peak memory of training: reference log-probabilities are data, so there is one model only.

    adapter: the trained parameters come on top of the base's. With bfloat16, autocast keeps a copy of the
    weights for the step, unless gradient checkpointing makes it anew for each layer of frozen weights.
    """
    weights = 4 * (model.num_parameters + (trainable if adapter else 0))
    if train.dtype == "bfloat16" and not (adapter and train.gradient_checkpointing):
        weights += 2 * model.num_parameters
    activations = None if model.shape is None else activation_bytes(model.shape, train)
    return Memory(weights, 4 * trainable, 8 * trainable, activations)


def activation_bytes(shape: ShapeRecipe, train: TrainRecipe) -> int:
    """What the backward pass of one micro-batch needs, every sequence at max_length (after arXiv 2205.05198).

    A token and layer keep, with D hidden, K key-value and I inner width, e bytes an activation and the residual
    stream in fp32: norms 24 D; attention (5 D + 3 K) e; feed-forward 4 I e; under autocast a cast copy of the
    input for each of q, k, v, gate, up: 10 D. Checkpointing keeps 4 D a layer and all of one layer. The head adds
    its logits, their fp32 copy, softmax and gradient.
    """
    e = DTYPE_BYTES[train.dtype]
    hidden, keys = shape.hidden_size, shape.num_key_value_heads * head_dim(shape)
    layer = 24 * hidden + (5 * hidden + 3 * keys + 4 * shape.intermediate_size) * e
    layer += 10 * hidden if train.dtype != "float32" else 0
    layers = shape.num_hidden_layers
    kept = layers * 4 * hidden + layer if train.gradient_checkpointing else layers * layer
    tokens = 2 * train.micro_batch_size * train.max_length
    head = min(tokens, HEAD_TOKENS) * shape.vocab_size * (2 * e + 8)
    return tokens * kept + head


def merging_memory(model: Anatomy) -> int:
    """Peak memory of merge and certificate: policy, base and the merged folder read back, each in fp32."""
    return 12 * model.num_parameters


def generation_memory(model: Anatomy, dtype: str, task: TaskRecipe) -> int | None:
    """Weights and the key-value cache of one whole batch of the task; None where the sizes are unknown."""
    assert task.decoding is not None
    if model.shape is None:
        return None
    width = model.shape.num_key_value_heads * head_dim(model.shape)
    token = 2 * model.shape.num_hidden_layers * width * DTYPE_BYTES[dtype]
    length = PROMPT_TOKENS + task.decoding.max_new_tokens
    return model.num_parameters * DTYPE_BYTES[dtype] + task.decoding.batch_size * length * token


def kept_bytes(model: Anatomy, trainable: int, dtype: str) -> int:
    """Disk that a trained row keeps: its policy in fp32 and its merged model."""
    return 4 * trainable + DTYPE_BYTES[dtype] * model.num_parameters


def checkpoint_bytes(trainable: int) -> int:
    """Disk of a checkpoint while a method trains, and of the one that replaces it: weights and two moments."""
    return 2 * 12 * trainable


def free_bytes(folder: Path) -> int:
    """Free space where the folder is, or will be."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free


def judge_calls(task: TaskRecipe, judge: JudgeRecipe, num_turns: int, num_models: int) -> Calls | None:
    """Questions about so many models' answers; None for a scorer that asks in a way of its own."""
    protocol = PROTOCOLS.get(task.scorer)
    return None if protocol is None else _priced(judge, protocol, protocol.calls_per_turn * num_turns * num_models)


def canary_calls(task: TaskRecipe, judge: JudgeRecipe, comparing: int, grading: int) -> Calls | None:
    """Questions that test a task's judge itself, once for each judge; None for a scorer of a way of its own.

    comparing, grading: how many the canaries of a protocol have that compares two answers, or grades one.
    """
    protocol = PROTOCOLS.get(task.scorer)
    return None if protocol is None else _priced(judge, protocol, comparing if protocol.compares else grading)


def _priced(judge: JudgeRecipe, protocol: Protocol, calls: int) -> Calls:
    """Tokens and price of calls of this length; who grades without words is not called."""
    calls = calls if judge.chats else 0
    lengths = (protocol.input_characters, protocol.output_characters)
    inputs, outputs = (math.ceil(calls * length / CHARACTERS_PER_TOKEN) for length in lengths)
    cost: float | None = None
    if judge.prices is not None:
        cost = (inputs * judge.prices.input_per_million_usd + outputs * judge.prices.output_per_million_usd) / 1e6
    elif not calls or judge.kind == "vllm-serve":  # the user's own machine
        cost = 0.0
    return Calls(calls, inputs, outputs, cost)


@dataclass(frozen=True, slots=True)
class Detectable:
    """Smallest true distance from a fixed value that a column finds with 80 % power, and on what that rests."""

    header: str
    effect: float
    at_most: bool
    basis: str


# (scorer, metric) -> standard deviation of a prompt's mean, whether that is a bound, and where it is from.
SPREADS = {
    ("alpaca-eval", "win_rate"): (40.0, False, "as published annotations near an even battle; 22-25 at 7-9 % wins"),
    ("mt-bench-pairwise", "wwr"): (50.0, True, "no win rate can spread more"),
    ("mt-bench", "score_corrected"): (3.0, False, "as published GPT-4 judgments, 2.8-3.3"),
    ("mt-bench", "score_original"): (3.0, False, "as published GPT-4 judgments, 2.8-3.3"),
}


def detectable(task: TaskRecipe, num_prompts: int) -> list[Detectable]:
    """What the task's columns could see, where it can be told before anything is measured.

    A comparison of two rows on the same prompts is paired: its spread is theirs to measure.
    """
    found = []
    for column in task.columns:
        known = SPREADS.get((task.scorer, column.metric))
        if known is not None:
            spread, bound, source = known
            effect = minimum_detectable_effect(spread / math.sqrt(num_prompts))
            basis = f"{num_prompts} prompts with a standard deviation of {spread:g} ({source})"
            found.append(Detectable(f"{task.name} {column.header}", effect, bound, basis))
    return found
