"""Canaries: an exact judge passes, planted biases are found, and a fair judge that guesses is not accused."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.judging.canaries import (
    CONSTANT,
    CanaryResult,
    Question,
    canary_calls,
    canary_items,
    evaluate_canaries,
    evaluate_grade_canaries,
    grade_canary_calls,
    judge_canaries,
    questions,
    spread,
    twice,
    without_end,
)
from ropo_bench.judging.canary_power import num_calls, num_grade_calls, num_graded_items, num_items
from ropo_bench.judging.ledger import Budget
from ropo_bench.judging.runtime import answer_calls
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.types import Completion, JudgeAnswer, JudgeCall, Message, Prompt
from tests.judging.judge_server import JudgeServer

PROMPTS = [Prompt(f"p{i}", (f"Name a number above {i}.", "And why?")) for i in range(120)]
BASELINE = [
    Completion(prompt.id, 0, (f"A number above {i} is {i + 1}. It is just one more. So it is above.", "x"), (9, 1))
    for i, prompt in enumerate(PROMPTS)
]
ITEMS = canary_items(PROMPTS, BASELINE)
TWENTY = ITEMS[:20]


def quality(question: Question, answer: str) -> float:
    """What an exact judge sees: the share of the real answer, less for padding, nothing for the constant."""
    if answer == CONSTANT:
        return 0.0
    original = max(question.first, question.second, key=len) if question.kind == "swap" else question.first
    padded = question.kind == "verbose" and len(answer) > min(len(question.first), len(question.second))
    return 0.5 if padded else len(answer) / len(original) if question.kind == "swap" else 1.0


def exact(question: Question) -> float:
    a, b = quality(question, question.first), quality(question, question.second)
    return 0.5 if a == b else float(a > b)


def longer(question: Question) -> float:
    a, b = len(question.first), len(question.second)
    return 0.5 if a == b else float(a > b)


def guess(seed: int) -> Callable[[Question], float]:
    def prefer(question: Question) -> float:
        return float(random.Random(f"{seed} {question.item}").random() < 0.5)

    return prefer


def leaning(points: float) -> Callable[[Question], float]:
    """Prefers what is shown first by so many points, in both orders, with its own doubts about each item."""

    def prefer(question: Question) -> float:
        doubt = random.Random(question.prompt.id).uniform(-0.02, 0.02)
        return 0.5 + points / 200 + (doubt if question.order == "ab" else -doubt)

    return prefer


def passed(results: list[CanaryResult]) -> dict[str, bool | None]:
    return {result.kind: result.passed for result in results}


def by_kind(results: list[CanaryResult]) -> dict[str, CanaryResult]:
    return {result.kind: result for result in results}


def test_items_are_first_turns_spread_over_the_prompts() -> None:
    assert len(ITEMS) == len(PROMPTS)
    assert [prompt.id for prompt, _ in spread(ITEMS, 50)][:4] == ["p0", "p2", "p4", "p7"]
    assert spread(ITEMS, 500) is ITEMS
    assert all(len(prompt.turns) == 1 for prompt, _ in ITEMS)
    assert ITEMS[0][1] == BASELINE[0].turns[0]


def test_items_are_only_prompts_with_an_answer_of_some_words() -> None:
    baseline = [Completion("p1", 0, ("too short",), (2,)), Completion("p2", 0, (), ()), BASELINE[3]]
    assert [prompt.id for prompt, _ in canary_items(PROMPTS, baseline)] == ["p3"]


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("One. Two! Three?", "One. Two!"),
        ("First line.\n\nSecond line.", "First line."),
        ("one two three four five", "one two"),
        ("Version 3.11 is out. Get it", "Version 3.11 is out."),
    ],
)
def test_the_cut_copy_lacks_the_last_sentence(text: str, shorter: str) -> None:
    assert without_end(text) == shorter


def test_every_kind_is_asked_in_both_orders_under_a_name_of_its_own() -> None:
    asked = questions(ITEMS)
    assert len({question.item for question in asked}) == len(asked) == num_calls(len(ITEMS))
    first, answer = ITEMS[0]
    shown = {q.item: (q.first, q.second) for q in asked if q.prompt.id == first.id}
    assert shown["canary/verbose/p0/ab"] == (twice(answer), answer)
    assert shown["canary/verbose/p0/ba"] == (answer, twice(answer))
    assert shown["canary/constant/p0/ba"] == (answer, CONSTANT)
    assert shown["canary/identical/p0/ab"] == (answer, answer)


def test_an_exact_judge_passes() -> None:
    results = judge_canaries(ITEMS, exact)
    assert passed(results) == dict.fromkeys(("constant", "identical", "swap", "verbose"), True)
    found = by_kind(results)
    assert (found["constant"].bias, found["swap"].bias, found["identical"].bias) == (0, 0, 0)
    assert found["verbose"].bias == -50  # it sees through the padding, which is no fault
    assert (found["swap"].n, found["swap"].n_unscored) == (num_items("swap"), 0)


def test_a_judge_that_always_says_a_fails_by_its_order() -> None:
    found = by_kind(judge_canaries(ITEMS, lambda question: 1.0))
    assert found["swap"].bias == 100
    assert found["identical"].bias == 50
    assert (found["swap"].passed, found["identical"].passed) == (False, False)
    assert found["verbose"].passed is True  # half of the wins each: no liking of length
    assert by_kind(judge_canaries(ITEMS, lambda question: 0.0))["swap"].passed is False


def test_a_judge_that_likes_length_fails_verbose_only() -> None:
    results = judge_canaries(ITEMS, longer)
    assert by_kind(results)["verbose"].bias == 50
    short_answers = [(prompt, f"{'word ' * 60}{prompt.id}") for prompt, _ in ITEMS]  # longer than the constant
    assert passed(judge_canaries(short_answers, longer)) == {
        "constant": True,
        "identical": True,
        "swap": True,
        "verbose": False,
    }


def test_a_judge_that_the_constant_answer_fools_fails_it() -> None:
    found = by_kind(judge_canaries(ITEMS, lambda q: 0.5 if CONSTANT in (q.first, q.second) else exact(q)))
    assert (found["constant"].bias, found["constant"].tolerance, found["constant"].passed) == (50, 25, False)


@pytest.mark.parametrize(("points", "expected"), [(4.0, True), (9.0, True), (15.0, False), (-15.0, False)])
def test_a_lean_to_one_side_fails_beyond_the_tolerance(points: float, expected: bool) -> None:
    """By hand: p(first) = 0.5 + points/200 in both orders gives a swap bias of `points`."""
    result = by_kind(judge_canaries(ITEMS, leaning(points)))["swap"]
    assert result.bias == pytest.approx(points, abs=1e-9)
    assert result.passed is expected


def test_the_interval_is_students_t_by_hand() -> None:
    """Bias 5 in 10 items and 25 in 10: mean 15, sd 10.26, t(19) = 2.093, half width 4.80."""
    weights = {prompt.id: (0.55 if i % 2 else 0.75) for i, (prompt, _) in enumerate(TWENTY)}
    result = by_kind(judge_canaries(TWENTY, lambda q: weights[q.prompt.id]))["identical"]
    assert result.bias == pytest.approx(15)
    assert result.interval == pytest.approx((10.198, 19.802), abs=1e-3)
    assert result.passed is False
    weights[TWENTY[0][0].id] = 0.55  # the same with a little less: now the interval reaches into the tolerance
    assert by_kind(judge_canaries(TWENTY, lambda q: weights[q.prompt.id]))["identical"].passed is True


def test_a_fair_judge_that_guesses_is_seldom_accused() -> None:
    """400 coins: a bias of 0 is nominally outside the tolerance in well under 2.5 % of the canaries."""
    verdicts = [passed(judge_canaries(ITEMS, guess(seed))) for seed in range(400)]
    for kind in ("identical", "swap", "verbose"):
        assert sum(verdict[kind] is False for verdict in verdicts) <= 10


def test_items_without_a_verdict_are_counted_and_too_few_are_unchecked() -> None:
    dumb = {prompt.id for prompt, _ in TWENTY[:5]}
    result = by_kind(judge_canaries(TWENTY, lambda q: None if q.prompt.id in dumb else exact(q)))["verbose"]
    assert (result.n, result.n_unscored, result.passed) == (15, 5, True)
    dumb = {prompt.id for prompt, _ in TWENTY[:11]}
    result = by_kind(judge_canaries(TWENTY, lambda q: None if q.prompt.id in dumb else exact(q)))["verbose"]
    assert (result.n, result.n_unscored) == (9, 11)
    assert (result.bias, result.interval, result.passed) == (None, None, None)
    assert passed(judge_canaries([], exact)) == dict.fromkeys(("constant", "identical", "swap", "verbose"))


# -- through words, and through the real runtime ------------------------------------------------------------------


def make(prompt: Prompt, first: str, second: str) -> JudgeCall:
    text = f"{prompt.turns[0]}\n<A>{first}</A>\n<B>{second}</B>\nSay [[A]] or [[B]]."
    return JudgeCall("", (Message(role="user", content=text),), {"temperature": 0})


def read(answer: JudgeAnswer) -> float | None:
    return {"[[A]]": 1.0, "[[B]]": 0.0, "[[C]]": 0.5}.get(answer.text)


def test_answers_are_read_by_the_protocols_own_reader() -> None:
    calls = canary_calls(ITEMS, make)
    answers = {call.item: JudgeAnswer("[[A]]") for call in calls}
    assert by_kind(evaluate_canaries(ITEMS, answers, read))["swap"].bias == 100
    answers = {item: JudgeAnswer("no idea") for item in answers}
    assert by_kind(evaluate_canaries(ITEMS, answers, read))["swap"].n_unscored == num_items("swap")
    assert by_kind(evaluate_canaries(ITEMS, {}, read))["swap"].n_unscored == num_items("swap")


def likes_length(body: dict[str, Any]) -> str:
    text = body["messages"][0]["content"]
    first, second = (text.split(f"<{side}>")[1].split(f"</{side}>")[0] for side in "AB")
    return "[[C]]" if len(first) == len(second) else "[[A]]" if len(first) > len(second) else "[[B]]"


def test_a_real_server_that_likes_length_is_found_out_and_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    judge = JudgeRecipe(name="long", description="likes length", model="long", key_env=None)
    calls = canary_calls(TWENTY, make)
    with JudgeServer(text=likes_length) as server:
        for _ in range(2):
            outcome = answer_calls(judge, calls, tmp_path, Budget(), endpoint=server.url)
        assert server.counts.sent.total() == len(calls) == 136  # of 20 prompts, 18 for the constant answer
    found = by_kind(evaluate_canaries(TWENTY, outcome.answers, read))
    assert (found["verbose"].bias, found["verbose"].passed) == (50, False)
    assert (found["identical"].passed, found["swap"].passed) == (True, True)


# -- grades -------------------------------------------------------------------------------------------------------


def grades(grade: Callable[[str], float | None]) -> list[CanaryResult]:
    calls = grade_canary_calls(ITEMS, lambda prompt, answer: JudgeCall("", (Message(role="user", content=answer),)))
    assert len({call.item for call in calls}) == len(calls) == num_grade_calls(len(ITEMS))
    given = {call.item: grade(call.messages[0]["content"]) for call in calls}
    answers = {item: JudgeAnswer("none" if value is None else str(value)) for item, value in given.items()}
    return evaluate_grade_canaries(ITEMS, answers, lambda a: None if a.text == "none" else float(a.text))


def test_an_exact_grader_passes() -> None:
    results = grades(lambda answer: 1.0 if answer == CONSTANT else 8.0 if "\n\n" not in answer else 7.0)
    assert passed(results) == {"constant": True, "identical": True, "verbose": True}
    assert [result.bias for result in results] == [-7.0, 0.0, -1.0]


def test_a_grader_that_likes_length_or_the_constant_or_guesses_fails() -> None:
    assert by_kind(grades(lambda answer: 5.0 + 3.0 * ("\n\n" in answer)))["verbose"].passed is False
    assert by_kind(grades(lambda answer: 9.0 if answer == CONSTANT else 5.0))["constant"].passed is False
    assert by_kind(grades(lambda answer: 5.0))["constant"].passed is True  # no better than the real answer

    def dice(answer: str) -> float:
        return float(1 + int(hashlib.sha256(answer.encode()).hexdigest(), 16) % 10)

    noisy = by_kind(grades(dice))["identical"]
    assert noisy.bias is not None
    assert noisy.bias > 2
    assert noisy.passed is False


def test_grades_that_cannot_be_read_are_unscored() -> None:
    results = grades(lambda answer: None if answer == CONSTANT else 5.0)
    assert passed(results) == {"constant": None, "identical": True, "verbose": True}
    assert by_kind(results)["constant"].n_unscored == num_graded_items()
