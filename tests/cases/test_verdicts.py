"""What a judge's closing words are, and what is no verdict at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import load_task
from ropo_bench.scoring.alpaca_eval.verdict import preference
from ropo_bench.scoring.cautions import find_cautions
from ropo_bench.scoring.mt_bench.pairwise import PAIRWISE
from ropo_bench.scoring.mt_bench.single import SINGLE
from ropo_bench.scoring.mt_bench.verdicts import Rule, Side, read_rating, read_side
from ropo_bench.types import JudgeAnswer
from tests.scoring.mt_bench.mt_examples import JUDGE, material, said

WEIGHED = "Being curt would merit a [[3]]. This answer is complete and correct. Rating: [[9]]"
SOURCES = "As sources [1] and [2] say, this is fine."


@pytest.mark.parametrize(
    ("text", "last", "first"),
    [
        (WEIGHED, 9, 3),
        ("<think>Perhaps [[4]]? No, it holds.</think> Rating: [[8]]", 8, 4),
        ("A [[4]], I thought.</think>\n\nRating: [[8]]", 8, 4),  # the prompt had opened the thoughts
        ("<think>one [[1]]</think> hm <think>two [[2]]</think> [[7]]", 7, 1),
        ("<think>It may be a [[4]], or", None, 4),  # cut within its thoughts
        ("<think>A [[4]].</think> I cannot say.", None, 4),
        (SOURCES, None, 1),
        ("See [1] and [2]. Good answer.", None, 1),
        ("Rating: [6]", 6, 6),
        ("A rating of [6] is fair, as [2] says.", 6, 6),
        ("My final rating is: [7.5]", 7.5, 7.5),
        ("Rating: [[8]] out of [[10]]", 8, 8),
        ("Rating: [[8]]/[[10]]", 8, 8),
        ("Rating: [[9]], as for the scale of [[2023]]", 9, 9),
        ("[[85]]", None, None),
    ],
)
def test_grades(text: str, last: float | None, first: float | None) -> None:
    assert read_rating(JudgeAnswer(text), "last").value == last
    assert read_rating(JudgeAnswer(text), "first").value == first


@pytest.mark.parametrize(
    ("text", "last", "first"),
    [
        ("By brevity one might say [[A]]. By substance: [[B]]", "B", "A"),
        ("Not [[C]], not [[B]]: [[A]]", "A", "A"),
        ("It is no [[A]] and no [[B]], so [[C]]", "tie", "A"),
        ("<think>[[A]] writes better.</think>[[B]]", "B", "A"),
        ("<think>[[A]] writes better", None, "A"),
        ("[A] or [B]", None, None),
    ],
)
def test_sides(text: str, last: Side | None, first: Side | None) -> None:
    assert read_side(JudgeAnswer(text), "last").value == last
    assert read_side(JudgeAnswer(text), "first").value == first


@pytest.mark.parametrize("text", [WEIGHED, "Perhaps [[A]]"])
def test_an_answer_that_was_cut_has_not_come_to_its_verdict(text: str) -> None:
    cut = JudgeAnswer(text, finish_reason="length")
    assert read_rating(cut, "last") == (None, False)
    assert read_side(cut, "last") == (None, False)


@pytest.mark.parametrize(("rule", "grade"), [(None, 9), ("last", 9), ("first", 3)])
def test_a_task_names_its_rule_and_what_is_ambiguous_is_counted(rule: Rule | None, grade: float) -> None:
    options = {} if rule is None else {"verdict": rule}
    task = material(**options)
    scores = SINGLE.score(task, JUDGE, said({"81:1": WEIGHED, "81:2": "Rating: [[9]]", "111:1": SOURCES}))
    read = {score.item: score for score in scores if score.metric == "score_corrected"}
    assert read["81:1"].value == grade
    assert read["81:1"].detail["ambiguous"]
    assert "ambiguous" not in read["81:2"].detail
    assert read["111:1"].status == ("scored" if rule == "first" else "unparsable")
    (caution,) = [text for text in find_cautions(task.task.columns, [scores]) if "marks" in text]
    assert caution.startswith("1 of 4 items")


def test_battles_and_canaries_are_read_by_the_same_rule() -> None:
    words = "Perhaps [[A]]. No: [[B]]"
    judged = {"81:1:g1": words, "81:1:g2": "[[A]]"}
    for rule, won in (("last", 0), ("first", 50)):
        task = material("mt-bench-pairwise", verdict=rule)
        scores = {s.item: s for s in PAIRWISE.score(task, JUDGE, said(judged)) if s.metric == "wwr"}
        assert scores["81:1"].value == won
        assert scores["81:1"].detail["ambiguous"]
        assert PAIRWISE.probe is not None
        assert PAIRWISE.probe.read(task.task, JUDGE, JudgeAnswer(words)) == (0.0 if rule == "last" else 1.0)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match=r"options\.verdict.*'frist'; did you mean 'first'"):
        SINGLE.score(material(verdict="frist"), JUDGE, {})


def test_every_shipped_task_reads_the_closing_verdict() -> None:
    for name in ("mt-bench", "mt-bench-original", "mt-bench-pairwise"):
        assert "verdict" not in load_task(name).options


@pytest.mark.parametrize("thoughts", ["<think>m, or M?</think>\n\nM", "so M it is</think>M"])
def test_a_written_letter_stands_behind_the_thoughts(thoughts: str) -> None:
    assert preference(JudgeAnswer(thoughts), weighted=False, switched=False) == 2.0
    assert preference(JudgeAnswer("<think>M"), weighted=False, switched=False) is None


@pytest.mark.parametrize("name", ["don-tpanic.gpt-4_single", "alvarobartt.gpt-4_single"])
def test_published_judgments_are_read_alike_by_both_rules(assets: Path, name: str) -> None:
    """Of GPT-4's published grades none weighs two marks, so the default changes no published figure."""
    path = assets / "mt_bench" / "model_judgment" / f"{name}.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    assert len(rows) == 800
    for row in rows:
        answer = JudgeAnswer(row["judgment"])
        first, last = read_rating(answer, "first"), read_rating(answer, "last")
        assert first == last
        assert (-1 if first.value is None else first.value) == row["score"]
