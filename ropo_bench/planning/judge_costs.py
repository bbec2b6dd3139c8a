"""What judges will be asked and what that costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring import find_judged
from ropo_bench.scoring.judged import Protocol

CHARACTERS_PER_TOKEN = 4


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
    scorer = find_judged(task.scorer)
    if scorer is None or scorer.protocol is None:
        return None
    return _price(judge, scorer.protocol, scorer.protocol.calls_per_turn * num_turns * num_models + counted)


def canary_calls(task: TaskRecipe, judge: JudgeRecipe, comparing: int, grading: int) -> Calls | None:
    """Questions that test a task's judge itself, once for each judge; None for a scorer of a way of its own.

    comparing, grading: how many the canaries of a protocol have that compares two answers, or grades one.
    """
    scorer = find_judged(task.scorer)
    if scorer is None or scorer.protocol is None:
        return None
    return _price(judge, scorer.protocol, comparing if scorer.compares else grading)


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
