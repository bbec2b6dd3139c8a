"""MT-Bench grades: what is asked, and that no verdict and no answer are two things."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.scoring.mt_bench.single import SINGLE
from ropo_bench.scoring.mt_bench.turns import find_turns
from ropo_bench.sources.prompts import read_answers, read_prompts
from ropo_bench.types import Completion, Prompt, Score
from tests.scoring.mt_bench.mt_examples import JUDGE, OURS, PROMPTS, material, said

SAID = said({"81:1": "Rating: [[8]]", "81:2": "hm", "111:1": "[[3.5]]"})


def by_metric(scores: list[Score], metric: str) -> dict[str, tuple[float | None, str]]:
    return {score.item: (score.value, score.status) for score in scores if score.metric == metric}


def test_a_grade_no_verdict_and_no_answer_are_three_things() -> None:
    scores = SINGLE.score(material(), JUDGE, SAID)
    assert by_metric(scores, "score_corrected") == {
        "81:1": (8, "scored"),
        "81:2": (None, "unparsable"),
        "111:1": (3.5, "scored"),
        "111:2": (None, "infrastructure-failed"),
    }
    assert set(by_metric(scores, "score_corrected_turn_1")) == {"81:1", "111:1"}
    assert by_metric(scores, "score_corrected/math")["111:1"] == (3.5, "scored")
    assert {score.item.split(":")[0] for score in scores} == {score.cluster for score in scores}


def test_the_reference_answers_are_named_in_the_metric_and_in_the_detail() -> None:
    scores = SINGLE.score(material(references="original"), JUDGE, SAID)
    assert {score.metric.split("/")[0] for score in scores} == {
        "score_original",
        "score_original_turn_1",
        "score_original_turn_2",
    }
    details = {score.item: score.detail.get("references") for score in scores}
    assert details == {"81:1": None, "81:2": None, "111:1": "original", "111:2": "original"}
    with pytest.raises(UsageError, match=r"options\.references.*'orignal'; did you mean 'original'"):
        SINGLE.score(material(references="orignal"), JUDGE, SAID)


def test_an_error_text_or_a_missing_answer_is_never_scored() -> None:
    ours = [Completion("81", 0, ("hi", "$ERROR$"), (1, 1), truncated=True)]
    everything = said(dict.fromkeys(("81:1", "81:2", "111:1", "111:2"), "[[9]]"))
    scores = {
        s.item: s for s in SINGLE.score(material(ours=ours), JUDGE, everything) if s.metric == "score_corrected"
    }
    assert {item: score.value for item, score in scores.items()} == {
        "81:1": 9,
        "81:2": None,
        "111:1": None,
        "111:2": None,
    }
    assert scores["81:1"].detail == {"turn": 1, "category": "writing", "truncated": True}
    assert scores["81:2"].detail["problem"] == "the answer is an error text"
    assert scores["111:1"].detail["problem"] == "no answer"
    assert {scores[item].status for item in ("81:2", "111:1", "111:2")} == {"infrastructure-failed"}


def test_an_error_spoils_the_later_turn_too() -> None:
    turns = find_turns(material().task, PROMPTS[:1], [Completion("81", 0, (" ERROR\n", "fine"), (1, 1))])
    assert [turn.problem for turn in turns] == ["the answer is an error text"] * 2


def test_three_turns_are_refused() -> None:
    with pytest.raises(UsageError, match=r"prompt x: has 3 turns"):
        SINGLE.score(material(prompts=[Prompt("x", ("a", "b", "c"))]), JUDGE, {})


@pytest.mark.usefixtures("assets")
def test_calls_hold_the_conversation_in_the_official_frame() -> None:
    calls = {call.item: call for call in SINGLE.calls(material(), JUDGE)}
    assert list(calls) == ["81:1", "81:2", "111:1", "111:2"]
    assert all(call.params == {"temperature": 0, "max_tokens": 2048} for call in calls.values())
    assert [message["role"] for message in calls["81:2"].messages] == ["system", "user"]
    texts = {item: call.messages[1]["content"] for item, call in calls.items()}
    assert "[[rating]]" in texts["81:1"]
    assert "Say hi." in texts["81:1"]
    assert "{again}" not in texts["81:1"]  # turn 1 alone
    assert "Say it {again}." in texts["81:2"]  # braces in a text are text
    assert texts["81:2"].index("hi again") > texts["81:2"].index("Say it {again}.") > texts["81:2"].index("Say hi.")
    assert not any("reference answer" in texts[item].lower() for item in ("81:1", "81:2"))


@pytest.mark.usefixtures("assets")
def test_the_two_sets_of_reference_answers_are_told_apart() -> None:
    asked = {
        references: {call.item: call.messages for call in SINGLE.calls(material(references=references), JUDGE)}
        for references in ("original", "corrected")
    }
    same = {item for item in asked["original"] if asked["original"][item] == asked["corrected"][item]}
    assert same == {"81:1", "81:2"}  # what needs no reference is the same call, and costs nothing twice


@pytest.mark.usefixtures("assets")
def test_a_question_that_needs_a_reference_and_has_none_is_an_error() -> None:
    prompts = [Prompt("9", ("1 + 1?",), "math")]
    with pytest.raises(UsageError, match="prompt 9: category math is judged beside a reference answer"):
        SINGLE.calls(material(prompts=prompts, ours=[Completion("9", 0, ("2",), (1,))]), JUDGE)


def test_all_of_mt_bench_as_published_judgments_asked_it(assets: Path) -> None:
    """Our prompts for published answers are, letter for letter, those that FastChat sent for them."""
    from ropo_bench.scoring.mt_bench.fastchat import read_rows

    prompts = list(read_prompts("mt-bench"))
    folder = assets / "mt_bench"
    ours = read_answers(str(folder / "model_answer/don-tpanic.llama2_chat_7b.jsonl.gz"), prompts)
    calls = SINGLE.calls(material(prompts=prompts, ours=ours, references="original"), JUDGE)
    assert len(calls) == 160
    rows = read_rows(folder / "model_judgment/don-tpanic.gpt-4_single.jsonl.gz")
    sent = {f"{r['question_id']}:{r['turn']}": r["user_prompt"] for _, r in rows if r["model"] == "llama2_chat_7b"}
    assert {call.item: call.messages[1]["content"] for call in calls} == sent


def test_samples_are_items_of_their_own() -> None:
    task = material().task
    assert task.decoding is not None
    task = task.model_copy(update={"decoding": task.decoding.model_copy(update={"num_samples": 2})})
    turns = find_turns(task, PROMPTS[:1], [*OURS, Completion("81", 1, ("hey", "hey again"), (1, 2))])
    assert [turn.item for turn in turns] == ["81:1", "81:2", "81:1#1", "81:2#1"]
