"""The gold judge of the pocket world: grades an answer 1 to 10, exactly and for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ropo_bench.pocket.checks import CHECKS
from ropo_bench.pocket.parser import Sentence, read, truth
from ropo_bench.pocket.world import World

# Two grades nearer than this are a tie.
TIE = 0.05
# What is left of the grade after one wrong claim, one sentence too many (asked for, or only sensible).
WRONG, EXCESS_STRICT, EXCESS, MISSING_STRICT, MISSING = 0.4, 0.75, 0.85, 0.25, 0.2


@dataclass(frozen=True, slots=True)
class Grade:
    """A grade from 1 to 10 and the factors (each 0..1) whose product it is: 1 + 9 * product."""

    score: float
    parts: dict[str, float]


def grade(world: World, requirement: Mapping[str, Any], answer: str, previous: str = "") -> Grade:
    """Grade one answer against the requirement of its turn.

    previous is the answer of the turn before, for follow-ups such as "one more fact".
    """
    read_sentences = read(world, requirement, answer)
    if not read_sentences:
        return Grade(1.0, {"met": 0.0})
    before = read(world, requirement, previous) if previous else []
    check = CHECKS[requirement["kind"]](world, requirement, read_sentences, before)
    parsed = [s for s in read_sentences if s.parsed is not None]
    parts = {
        "met": check.met,
        "constraints": 0.5 + 0.5 * _mean(check.constraints),
        "focus": 0.2 + 0.8 * check.relevant / len(parsed) if parsed else 0.0,
        "facts": WRONG ** _num_wrong(world, requirement, parsed),
        "grammar": (len(parsed) / len(read_sentences)) ** 1.5,
        "repetition": _repetition(read_sentences),
        "length": _length(requirement, read_sentences),
        "style": _style(read_sentences),
    }
    product = 1.0
    for part in parts.values():
        product *= part
    return Grade(1.0 + 9.0 * product, parts)


def prefer(first: Grade, second: Grade, tie: float = TIE) -> float:
    """1 where the first is better, 0 where the second is, 0.5 where they differ by less than tie."""
    difference = first.score - second.score
    if abs(difference) < tie:
        return 0.5
    return 1.0 if difference > 0 else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 1.0


def _num_wrong(world: World, requirement: Mapping[str, Any], parsed: Sequence[Sentence]) -> int:
    claims = dict.fromkeys(statement for sentence in parsed for statement in sentence.statements)
    return sum(truth(world, requirement, claim) is False for claim in claims)


def _repetition(read_sentences: Sequence[Sentence]) -> float:
    """Share of distinct sentences, squared, times the share of distinct trigrams (0.8 is still natural)."""
    distinct = len({s.text for s in read_sentences}) / len(read_sentences)
    words = " ".join(s.text for s in read_sentences).split()
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    varied = len(set(trigrams)) / len(trigrams) if trigrams else 1.0
    return distinct**2 * min(1.0, varied / 0.8)


def _length(requirement: Mapping[str, Any], read_sentences: Sequence[Sentence]) -> float:
    """1 within the bounds in sentences and below 18 words a sentence, falling outside."""
    low, high = requirement["sentences"]
    strict, count = requirement["strict"], len(read_sentences)
    num_words = sum(s.text.count(" ") + 1 for s in read_sentences)
    fitting = min(1.0, 18 * high / num_words)
    if count > high:
        return float(fitting * (EXCESS_STRICT if strict else EXCESS) ** (count - high))
    return float(fitting * max(0.1, 1.0 - (MISSING_STRICT if strict else MISSING) * max(0, low - count)))


def _style(read_sentences: Sequence[Sentence]) -> float:
    """0.94 where all sentences begin alike, 1 where all begin differently."""
    if len(read_sentences) == 1:
        return 1.0
    starts = {" ".join(s.text.split()[:2]) for s in read_sentences}
    return 0.94 + 0.06 * (len(starts) - 1) / (len(read_sentences) - 1)
