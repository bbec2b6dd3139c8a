"""The bare questions of the judged tasks: order, words, and what the answers mean."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.load import load_task
from ropo_bench.scoring.alpaca_eval.annotate import ALPACA_EVAL
from ropo_bench.scoring.judged import JudgedScorer, Probe
from ropo_bench.scoring.mt_bench.pairwise import PAIRWISE
from ropo_bench.scoring.mt_bench.single import SINGLE
from ropo_bench.types import JudgeAnswer, JudgeCall, Prompt

PROMPT = Prompt("q", ("Which colour?",))


def judge(logprobs: bool = True) -> JudgeRecipe:
    return JudgeRecipe(name="j", description="d", model="m", logprobs=logprobs)


def probe(scorer: JudgedScorer) -> Probe:
    assert scorer.probe is not None
    return scorer.probe


def words(call: JudgeCall) -> str:
    return "\n".join(message["content"] for message in call.messages)


def test_alpaca_eval_shows_the_first_as_m_and_reads_its_probability() -> None:
    question = probe(ALPACA_EVAL)
    call = question.ask(load_task("alpaca-eval-2"), judge(), PROMPT, ("FIRST TEXT", "SECOND TEXT"))
    assert words(call).index("FIRST TEXT") < words(call).index("SECOND TEXT")
    assert "Which colour?" in words(call)
    assert call.params["top_logprobs"] == 5
    answer = JudgeAnswer("M", {"m": math.log(0.2), "M": math.log(0.6)})
    assert question.read(load_task("alpaca-eval-2"), judge(), answer) == pytest.approx(0.25)
    assert question.read(load_task("alpaca-eval-2"), judge(), JudgeAnswer("Hm", {"H": -0.1})) is None


def test_alpaca_eval_without_log_probabilities_reads_the_letter() -> None:
    read, task = probe(ALPACA_EVAL).read, load_task("alpaca-eval-2")
    assert [read(task, judge(False), JudgeAnswer(text)) for text in ("m", "M", "both")] == [1.0, 0.0, None]


def test_mt_bench_compares_and_grades_by_the_official_words(assets: Path) -> None:
    question, task = probe(PAIRWISE), load_task("mt-bench-pairwise")
    text = words(question.ask(task, judge(), PROMPT, ("FIRST TEXT", "SECOND TEXT")))
    assert text.index("Which colour?") < text.index("FIRST TEXT") < text.index("SECOND TEXT")
    sides = ["so [[A]]", "so [[B]]", "so [[C]]", "no idea"]
    assert [question.read(task, judge(), JudgeAnswer(side)) for side in sides] == [1.0, 0.0, 0.5, None]
    grade = probe(SINGLE)
    assert "ONLY TEXT" in words(grade.ask(load_task("mt-bench"), judge(), PROMPT, ("ONLY TEXT",)))
    assert grade.read(load_task("mt-bench"), judge(), JudgeAnswer("Rating: [[7]]")) == 7
