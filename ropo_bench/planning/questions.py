"""What judges will be asked and what that costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.task import TaskRecipe

CHARACTERS_PER_TOKEN = 4
PROMPT_SETS = {"mt-bench": (80, 160), "alpaca-eval-2": (805, 805)}
"""Prompts and turns of the public prompt sets, which a plan needs before their files are there."""
NUM_ITEMS = {"commonsense": 22_419, "pocket-commonsense": 300}
"""Items of scorers that bring their own: BoolQ 3,270, PIQA 1,838, SIQA 1,954, HellaSwag 10,042, WinoGrande 1,267, ARC
2,376 and 1,172, OpenBookQA 500, as lm-eval reads them; pocket's questions."""


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
class Calls:
    """What a judge will be asked: calls, tokens in and out, and their price; None where the recipe has no prices."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


def judge_calls(
    task: TaskRecipe, judge: JudgeRecipe, num_turns: int, num_models: int, counted: int = 0
) -> Calls | None:
    """Questions about so many models' answers, and those that were counted one by one.

    None for a scorer that asks in a way of its own.
    """
    protocol = PROTOCOLS.get(task.scorer)
    if protocol is None:
        return None
    return _price(judge, protocol, protocol.calls_per_turn * num_turns * num_models + counted)


def canary_calls(task: TaskRecipe, judge: JudgeRecipe, comparing: int, grading: int) -> Calls | None:
    """Questions that test a task's judge itself, once for each judge; None for a scorer of a way of its own.

    comparing, grading: how many the canaries of a protocol have that compares two answers, or grades one.
    """
    protocol = PROTOCOLS.get(task.scorer)
    return None if protocol is None else _price(judge, protocol, comparing if protocol.compares else grading)


def _price(judge: JudgeRecipe, protocol: Protocol, calls: int) -> Calls:
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
