"""Is the judge to be trusted? Questions whose right answer is known beforehand, asked before its verdicts are read.

Built from a task's own prompts and its baseline's answers, and asked like any other call: a judge whose canaries
were asked once is not asked again. Kinds, each on as many prompts as find the bias that canary_power.FOUND names:

    constant    a refusal that fits every prompt, against the real answer: it should not win
    identical   an answer against itself: neither should win
    swap        an answer against itself without its end, in both orders: the order should not matter
    verbose     an answer against itself written twice: the longer copy should not win

A bias has a 95 % interval over items, t with n - 1 degrees of freedom on the items' means over both orders; a
canary fails when the whole interval lies beyond the tolerance, and is unchecked when fewer than half of its items
could be read. A pass is no proof: the result says what bias it could have seen. Which answers are compared, the
tolerances and the biases that must be found are our choice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean, stdev
from typing import Literal

from ropo_bench.judging.canary_power import (
    GRADE_TOLERANCES,
    TOLERANCES,
    Kind,
    detectable,
    detectable_grade,
    num_graded_items,
    num_items,
)
from ropo_bench.types import Completion, JudgeAnswer, JudgeCall, Prompt

Order = Literal["ab", "ba"]
Item = tuple[Prompt, str]
"""A prompt of one turn, and a real answer to it."""

CONSTANT = "Thank you for your message. I am here to help. Please let me know if there is anything else you need."
MIN_WORDS = 4  # an answer of fewer has no end that could be left out
ONE_SIDED = frozenset({"constant", "verbose"})  # a judge that dislikes padding is right
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """One kind of canary, answered.

    bias and interval (its 95 % ends): points (0..100) for comparisons, grades for single answers; None where too
    little could be read, and then passed is None: unchecked. n, n_unscored: items. detectable: the smallest bias
    that n items find with 80 % power, None for fewer than two.
    """

    kind: Kind
    bias: float | None
    interval: tuple[float, float] | None
    tolerance: float
    passed: bool | None
    n: int
    n_unscored: int
    detectable: float | None


@dataclass(frozen=True, slots=True)
class Question:
    """One comparison: two answers to a prompt, in the order in which they are shown.

    order: "ab" shows first what the canary is about (the constant, padded or cut answer), "ba" shows it second.
    """

    kind: Kind
    order: Order
    prompt: Prompt
    first: str
    second: str

    @property
    def item(self) -> str:
        """Its name as a judge's call."""
        return f"canary/{self.kind}/{self.prompt.id}/{self.order}"


def canary_items(prompts: Sequence[Prompt], baseline: Sequence[Completion]) -> list[Item]:
    """Prompts with their answers for canaries: those whose answer has words enough, of which a kind takes some.

    Only first turns are used. The same prompts and answers give the same items.
    """
    answers = {done.prompt_id: done.turns[0] for done in reversed(baseline) if done.turns}
    return [
        (replace(prompt, turns=prompt.turns[:1]), answers[prompt.id])
        for prompt in prompts
        if len(answers.get(prompt.id, "").split()) >= MIN_WORDS
    ]


def spread(items: Sequence[Item], num: int) -> Sequence[Item]:
    """So many of the items, evenly spaced; all where there are no more."""
    return [items[i * len(items) // num] for i in range(num)] if len(items) > num else items


# -- comparisons -------------------------------------------------------------------------------------------------


def questions(items: Sequence[Item]) -> list[Question]:
    """All comparisons: in both orders, but for identical answers, which have only one."""
    comparisons = []
    for kind in TOLERANCES:
        for prompt, answer in spread(items, num_items(kind)):
            other = _opponent(kind, answer)
            comparisons.append(Question(kind, "ab", prompt, other, answer))
            if kind != "identical":
                comparisons.append(Question(kind, "ba", prompt, answer, other))
    return comparisons


def canary_calls(items: Sequence[Item], make: Callable[[Prompt, str, str], JudgeCall]) -> list[JudgeCall]:
    """A call for each question; make(prompt, shown first, shown second) is the protocol's own."""
    return [replace(make(q.prompt, q.first, q.second), item=q.item) for q in questions(items)]


def evaluate_canaries(
    items: Sequence[Item],
    answers: Mapping[str, JudgeAnswer],
    read: Callable[[JudgeAnswer], float | None],
) -> list[CanaryResult]:
    """One result a kind, from the answers by item.

    read: the preference in an answer for what was shown first, 0..1, None where it says none.
    """
    return judge_canaries(items, lambda q: read(answers[q.item]) if q.item in answers else None)


def judge_canaries(items: Sequence[Item], prefer: Callable[[Question], float | None]) -> list[CanaryResult]:
    """The same for any judge: its preference for the answer shown first, 0..1, or None."""
    given = {(q.kind, q.prompt.id, q.order): prefer(q) for q in questions(items)}
    results = []
    for kind, tolerance in TOLERANCES.items():
        orders: tuple[Order, Order] = ("ab", "ab") if kind == "identical" else ("ab", "ba")
        chosen = spread(items, num_items(kind))
        biases = [_bias(kind, *(given[kind, prompt.id, order] for order in orders)) for prompt, _ in chosen]
        results.append(_result(kind, biases, tolerance, detectable, one_sided=kind in ONE_SIDED))
    return results


def _opponent(kind: Kind, answer: str) -> str:
    """What an answer is compared with."""
    match kind:
        case "constant":
            return CONSTANT
        case "identical":
            return answer
        case "swap":
            return without_end(answer)
        case "verbose":
            return twice(answer)


def twice(answer: str) -> str:
    """The answer, and again."""
    return f"{answer}\n\n{answer}"


def without_end(answer: str) -> str:
    """The answer without its last sentence; of a single sentence the first half of its words."""
    sentences = _SENTENCE_END.split(answer.strip())
    if len(sentences) > 1:
        return answer.strip()[: -len(sentences[-1])].rstrip()
    words = answer.split()
    return " ".join(words[: len(words) // 2])


def _bias(kind: Kind, first: float | None, second: float | None) -> float | None:
    """Points of an item, from the preference for the answer shown first in order "ab" and in order "ba"."""
    if first is None or second is None:
        return None
    match kind:
        case "identical":
            return 100 * (first - 0.5)
        case "swap":
            return 100 * (first - (1 - second))
        case "constant":
            return 100 * (first + 1 - second) / 2
        case "verbose":
            return 100 * (first + 1 - second) / 2 - 50


# -- grades of single answers ------------------------------------------------------------------------------------


def grade_canary_calls(items: Sequence[Item], make: Callable[[Prompt, str], JudgeCall]) -> list[JudgeCall]:
    """A call for each grade; make(prompt, answer) is the protocol's own question.

    There is no swap: a single answer has no order.
    """
    return [
        replace(make(prompt, text), item=_grade_item(name, prompt))
        for prompt, answer in spread(items, num_graded_items())
        for name, text in _graded_answers(answer).items()
    ]


def evaluate_grade_canaries(
    items: Sequence[Item],
    answers: Mapping[str, JudgeAnswer],
    read: Callable[[JudgeAnswer], float | None],
) -> list[CanaryResult]:
    """One result a kind (all but swap), from the answers by item; read: the grade in an answer, or None."""

    def grade(name: str, prompt: Prompt) -> float | None:
        answer = answers.get(_grade_item(name, prompt))
        return None if answer is None else read(answer)

    results = []
    for kind, tolerance in GRADE_TOLERANCES.items():
        chosen = spread(items, num_graded_items())
        pairs = [(grade(kind, prompt), grade("real", prompt)) for prompt, _ in chosen]
        above = [None if a is None or b is None else a - b for a, b in pairs]
        if kind == "identical":
            above = [None if value is None else abs(value) for value in above]
        results.append(_result(kind, above, tolerance, detectable_grade, one_sided=True))
    return results


def _graded_answers(answer: str) -> dict[str, str]:
    """What is graded. An empty line makes an identical answer a request of its own, which is then really asked."""
    return {"real": answer, "constant": CONSTANT, "identical": f"{answer}\n", "verbose": twice(answer)}


def _grade_item(name: str, prompt: Prompt) -> str:
    return f"canary/grade/{name}/{prompt.id}"


# -- intervals ---------------------------------------------------------------------------------------------------


def _result(
    kind: Kind,
    values: Sequence[float | None],
    tolerance: float,
    sees: Callable[[Kind, int], float | None],
    *,
    one_sided: bool,
) -> CanaryResult:
    """Mean with its t interval, held against [-tolerance, tolerance], or (one-sided) against the upper end alone."""
    scored = [value for value in values if value is not None]
    n, unscored = len(scored), len(values) - len(scored)
    if n < 2 or n < unscored:
        return CanaryResult(kind, None, None, tolerance, None, n, unscored, sees(kind, n))
    from scipy.special import stdtrit

    mean = fmean(scored)
    half = float(stdtrit(n - 1, 0.975)) * stdev(scored) / sqrt(n)
    low, high = mean - half, mean + half
    beyond = low > tolerance or (high < -tolerance and not one_sided)
    return CanaryResult(kind, mean, (low, high), tolerance, not beyond, n, unscored, sees(kind, n))
