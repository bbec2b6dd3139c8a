"""What a judge's words mean: a grade, or the winner of a battle. As FastChat reads them, but for wild numbers."""

from __future__ import annotations

import re
from typing import Literal

Side = Literal["A", "B", "tie"]

_RATING = re.compile(r"\[\[([0-9]+\.?[0-9]*)\]\]")
_RATING_FALLBACK = re.compile(r"\[([0-9]+\.?[0-9]*)\]")
_SIDES: dict[str, Side] = {"[[A]]": "A", "[[B]]": "B", "[[C]]": "tie"}
FOR_FIRST: dict[Side, float] = {"A": 1.0, "tie": 0.5, "B": 0.0}


def parse_rating(text: str) -> float | None:
    """The first [[x]], else the first [x]; None where there is none, or it is no grade (0 to 10).

    The scale given to the judge is 1 to 10. A 0 is a judge's word for worthless and counts, as in FastChat;
    a larger number (the [2023] of a quotation) does not, unlike in FastChat.
    """
    match = _RATING.search(text) or _RATING_FALLBACK.search(text)
    if match is None:
        return None
    rating = float(match.group(1))
    return rating if rating <= 10 else None


def parse_side(text: str) -> Side | None:
    """[[A]], [[B]] or [[C]] (a tie), looked for in this order; None where there is none of them."""
    return next((side for mark, side in _SIDES.items() if mark in text), None)


def preference(as_a: Side | None, as_b: Side | None) -> float | None:
    """1 a win, 0 a loss, 0.5 a tie, for a model shown once as A and once as B; None without both verdicts.

    Orders that disagree are a tie (arXiv 2306.05685, section 3.4).
    """
    if as_a is None or as_b is None:
        return None
    first, second = FOR_FIRST[as_a], 1 - FOR_FIRST[as_b]
    return first if first == second else 0.5
