"""From a judge's first token to a preference."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest

from ropo_bench.scoring.alpaca_eval.prompt import is_switched
from ropo_bench.scoring.alpaca_eval.verdict import discrete, preference
from ropo_bench.types import JudgeAnswer


def weighted(top: dict[str, float] | None, switched: bool = False) -> float | None:
    return preference(JudgeAnswer("m", top), weighted=True, switched=switched)


@pytest.mark.parametrize("model", ["gpt-3.5-turbo-1106", "gemma-7b-it"])
def test_published_log_probabilities_give_the_published_preferences(assets: Path, model: str) -> None:
    """Parser and order together: a wrong seed or side would miss on half of the verdicts."""
    rows = json.loads(gzip.decompress((assets / model / "annotations.json.gz").read_bytes()))
    asked = [row for row in rows if row["raw_completion"]]
    assert len(asked) > 800
    for row in asked:
        top = row["raw_completion"]["logprobs"]["content"][0]["top_logprobs"]
        answer = JudgeAnswer(row["raw_completion"]["text"], {one["token"]: one["logprob"] for one in top}, "length")
        found = preference(answer, weighted=True, switched=is_switched(row["instruction"]))
        assert found == pytest.approx(row["preference"], abs=1e-9)


def test_worked_example() -> None:
    """p(m) = 0.6 and p(M) = 0.2 of the first token: 0.75 for the first answer."""
    top = {"m": math.log(0.6), "M": math.log(0.2), "The": math.log(0.1)}
    assert weighted(top) == pytest.approx(1.25)
    assert weighted(top, switched=True) == pytest.approx(1.75)


def test_one_identifier_is_enough_and_none_is_no_verdict() -> None:
    assert weighted({"m": -0.1, "The": -3.0}) == 1.0
    assert weighted({"M": -0.1, "The": -3.0}) == 2.0
    assert weighted({"The": -0.1, " m": -1.0}) is None
    assert weighted({}) is None
    assert weighted(None) is None
    assert weighted({"m": -math.inf, "M": -math.inf}) is None


@pytest.mark.parametrize(("text", "expected"), [("m", 1.0), ("M", 2.0), (' "M".\n', 2.0), ("**m**", 1.0)])
def test_written_verdicts(text: str, expected: float) -> None:
    assert preference(JudgeAnswer(text), weighted=False, switched=False) == expected
    assert preference(JudgeAnswer(text), weighted=False, switched=True) == 3 - expected


@pytest.mark.parametrize("text", ["", "The first", "m or M", "mM", "model m"])
def test_written_answers_without_a_verdict(text: str) -> None:
    assert preference(JudgeAnswer(text, {"m": -0.1}), weighted=False, switched=False) is None


def test_discrete_side() -> None:
    assert [discrete(p) for p in (1.0, 1.4999, 1.5, 1.5001, 2.0)] == [1.0, 1.0, 1.5, 2.0, 2.0]
