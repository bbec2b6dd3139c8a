"""What a judge's words mean: a grade, or the winner of a battle.

A judge weighs before it decides, so by the rule `last` its closing mark is the verdict. FastChat takes the first, in
its own order of looking: the rule `first` reads judgments as its files have them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import suggest
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.types import JudgeAnswer
from ropo_bench.types.thoughts import without_thoughts

Side = Literal["A", "B", "tie"]
Rule = Literal["last", "first"]
Value = TypeVar("Value", float, Side)

RULES: tuple[Rule, ...] = ("last", "first")
MAX_RATING = 10
CUT = "length"  # the finish_reason of an answer that its limit of tokens ended
_RATING = re.compile(r"\[\[([0-9]+\.?[0-9]*)\]\]")
_RATING_FALLBACK = re.compile(r"\[([0-9]+\.?[0-9]*)\]")
# A single bracket is a grade where the judge says so, else the number of a source or a list's.
_CALLED_RATING = re.compile(r"(?i)\brating\b[^\[\]\n]{0,24}\[([0-9]+\.?[0-9]*)\](?!\])")
_OUT_OF = re.compile(r"(?i)(?:/|\bout of)\s*\[\[[0-9]+\.?[0-9]*\]\]")
_MARK = re.compile(r"\[\[([ABC])\]\]")
_SIDES: dict[str, Side] = {"A": "A", "B": "B", "C": "tie"}
FOR_FIRST: dict[Side, float] = {"A": 1.0, "tie": 0.5, "B": 0.0}


class Reading(NamedTuple, Generic[Value]):
    """A verdict, None where the words hold none; ambiguous: they hold marks of different meaning."""

    value: Value | None
    ambiguous: bool = False


def verdict_rule(task: TaskRecipe) -> Rule:
    """How a task reads its judge: options.verdict, `last` unless given; raises UsageError for another."""
    given = task.options.get("verdict", "last")
    for rule in RULES:
        if given == rule:
            return rule
    hint = suggest(str(given), RULES) or f"known: {', '.join(RULES)}"
    raise UsageError(f"task {task.name}: options.verdict: no such rule, given {given!r}; {hint}")


def read_rating(answer: JudgeAnswer, rule: Rule) -> Reading[float]:
    """The grade in a judge's answer, 0 to 10.

    The scale given to the judge is 1 to 10. A 0 is a judge's word for worthless and counts, as in FastChat; a larger
    number (the [2023] of a quotation) does not. `last`: the last [[x]] behind any thoughts, else the last
    "rating: [x]"; an answer that its limit of tokens cut has not come to its verdict. `first`: the first [[x]], else
    the first [x].
    """
    return _first_rating(answer.text) if rule == "first" else _closing(answer, _ratings)


def read_side(answer: JudgeAnswer, rule: Rule) -> Reading[Side]:
    """[[A]], [[B]] or [[C]] (a tie) in a judge's answer.

    `last`: the last of them behind any thoughts. `first`: as FastChat, which looks for A, then for B, then for C,
    wherever they stand.
    """
    if rule == "last":
        return _closing(answer, _marks)
    marks = _marks(answer.text)
    verdict: Side | None = next((side for side in _SIDES.values() if side in marks), None)
    return Reading(verdict, ambiguous=len(set(marks)) > 1)


def _first_rating(text: str) -> Reading[float]:
    match = _RATING.search(text) or _RATING_FALLBACK.search(text)
    rating = None if match is None else float(match.group(1))
    ambiguous = len(set(_RATING.findall(text))) > 1
    return Reading(rating if rating is not None and rating <= MAX_RATING else None, ambiguous)


def _closing(answer: JudgeAnswer, find: Callable[[str], Sequence[Value]]) -> Reading[Value]:
    """The last mark of an answer that came to its end."""
    if answer.finish_reason == CUT:
        return Reading(None)
    marks = find(without_thoughts(answer.text).text)
    return Reading(marks[-1], ambiguous=len(set(marks)) > 1) if marks else Reading(None)


def _ratings(text: str) -> list[float]:
    text = _OUT_OF.sub(" ", text)
    ratings = [float(number) for number in _RATING.findall(text) or _CALLED_RATING.findall(text)]
    return [rating for rating in ratings if rating <= MAX_RATING]


def _marks(text: str) -> list[Side]:
    return [_SIDES[letter] for letter in _MARK.findall(text)]


def preference(as_a: Side | None, as_b: Side | None) -> float | None:
    """1 a win, 0 a loss, 0.5 a tie, for a model shown once as A and once as B; None without both verdicts.

    Orders that disagree are a tie (arXiv 2306.05685, section 3.4).
    """
    if as_a is None or as_b is None:
        return None
    first, second = FOR_FIRST[as_a], 1 - FOR_FIRST[as_b]
    return first if first == second else 0.5
