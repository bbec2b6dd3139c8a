"""Commonsense by generation: which answer a text names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.recipes.task import Column, Decoding, TaskRecipe
from ropo_bench.scoring.commonsense.data import TASKS
from ropo_bench.scoring.commonsense.generative import ending_question, prompts, prompts_key, read_answer, score
from ropo_bench.types import Completion, Prompt

TASK = TaskRecipe(
    name="generative",
    description="a test",
    prompts="llm-adapters",
    decoding=Decoding(max_new_tokens=32),
    scorer="commonsense-generative",
    columns=[Column(metric="accuracy", header="accuracy", estimator="macro_mean")],
)


@pytest.mark.parametrize(
    ("task", "text", "answer"),
    [
        ("boolq", " the correct answer is true", "true"),
        ("boolq", "false, although some say true", "false"),
        ("boolq", "it is untrue", "true"),  # LLM-Adapters' rule has no word boundary
        ("boolq", "True", None),
        ("piqa", "the correct answer is solution2", "solution2"),
        ("arc_easy", "answer5 or answer1", "answer5"),
        ("social_iqa", "option1", None),
        ("winogrande", "option3", None),
        ("hellaswag", "ending4.", "ending4"),
        ("openbookqa", "", None),
    ],
)
def test_the_first_name_of_an_answer_counts(task: str, text: str, answer: str | None) -> None:
    assert read_answer(task, text) == answer


@given(st.sampled_from(sorted(TASKS)), st.text(alphabet="0123456789 ,.", max_size=20))
def test_text_around_an_answer_changes_nothing(task: str, around: str) -> None:
    names = {"boolq": "false", "piqa": "solution1", "hellaswag": "ending3", "winogrande": "option2"}
    name = names.get(task, "answer4")
    assert read_answer(task, f"{around} {name} {around}") == name


def test_three_states() -> None:
    asked = [Prompt(f"boolq:{i}", ("?",), "boolq", {"answer": "true"}) for i in range(4)]
    texts = ["true", "the correct answer is false", "who knows"]
    answers = [Completion(f"boolq:{i}", 0, (text,), (3,)) for i, text in enumerate(texts)]
    found = [(one.value, one.status) for one in score(TASK, asked, answers) if one.metric == "accuracy/boolq"]
    assert found == [
        (100.0, "scored"),
        (0.0, "scored"),
        (None, "unparsable"),
        (None, "infrastructure-failed"),
    ]
    again = [one for one in score(TASK, asked, answers) if one.metric == "accuracy"]
    assert [(one.value, one.status) for one in again] == found
    assert {one.detail["task"] for one in again} == {"boolq"}
    theirs = [one.value for one in score(TASK, asked, answers) if one.metric == "accuracy_llm_adapters"]
    assert theirs == [100.0, 0.0, 0.0, None]


def test_the_form_of_endings() -> None:
    row = {
        "activity_label": "Baking",
        "ctx_a": "A man mixes dough.",
        "ctx_b": "he",
        "endings": ["a.", "b.", "c.", "d."],
    }
    question = ending_question(row)
    assert question.startswith("Please choose the correct ending to complete the given sentence: Baking: A man mixes")
    assert question.endswith(
        " He\n\nEnding1: a. Ending2: b. Ending3: c. Ending4: d.\n\nAnswer format: ending1/ending2/ending3/ending4"
    )


def test_all_prompts_of_the_mirror(assets: Path) -> None:
    asked = prompts()
    assert Counter(prompt.category for prompt in asked) == {
        "boolq": 3270,
        "piqa": 1838,
        "social_iqa": 1954,
        "hellaswag": 2000,
        "winogrande": 1267,
        "arc_easy": 2376,
        "arc_challenge": 1172,
        "openbookqa": 500,
    }
    assert len({prompt.id for prompt in asked}) == len(asked)
    # Every right answer is one that can be read, and the question itself offers it.
    for prompt in asked:
        answer = prompt.metadata["answer"]
        assert read_answer(prompt.category, f"the correct answer is {answer}") == answer
        assert answer in prompt.turns[0]
    assert len(prompts_key()) == 8
