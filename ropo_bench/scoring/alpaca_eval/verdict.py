"""What a judge's answer says: a preference from 1 (the baseline's answer) to 2 (the model's), 1.5 a tie."""

from __future__ import annotations

import math
import re

from ropo_bench.scoring.alpaca_eval.official import logprob_preference
from ropo_bench.types import JudgeAnswer
from ropo_bench.types.thoughts import without_thoughts

TIE = 1.5
_IDENTIFIER = re.compile(r"\W*([mM])\W*")


def preference(answer: JudgeAnswer, *, weighted: bool, switched: bool) -> float | None:
    """The preference in an answer, None where there is none to read.

    weighted: by the probabilities of m and M as the first token, by alpaca_eval's own parser; otherwise by the
    text, which must be m or M (spaces, quotes and stops aside). switched: whether m was the model's answer.
    """
    value = _read_weighted(answer) if weighted else _read_written(answer)
    if value is None:
        return None
    return 3 - value if switched else value


def discrete(preference: float) -> float:
    """The side that a preference is on: 1, 1.5 or 2."""
    return TIE if preference == TIE else 1.0 + (preference > TIE)


def _read_weighted(answer: JudgeAnswer) -> float | None:
    top = answer.top_logprobs or {}
    if not any(math.isfinite(top.get(token, -math.inf)) for token in ("m", "M")):
        return None
    preference = logprob_preference(top)
    return preference if math.isfinite(preference) else None  # both so unlikely that their share is 0 / 0


def _read_written(answer: JudgeAnswer) -> float | None:
    match = _IDENTIFIER.fullmatch(without_thoughts(answer.text).text)
    if match is None:
        return None
    return 1.0 if match[1] == "m" else 2.0
