"""The ruler can be trusted: what is good grades high, what is not grades low, and by degrees."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from statistics import mean

import pytest

from ropo_bench.pocket.answers import flawed_answer, reference_answer
from ropo_bench.pocket.flaws import corrupt, wrong_answer
from ropo_bench.pocket.grader import Grade, grade, prefer
from ropo_bench.pocket.grammar import grammar, say, sentences
from ropo_bench.pocket.instructions import Instruction, instructions
from ropo_bench.pocket.templates import CATEGORIES
from ropo_bench.pocket.world import build_world

WORLD = build_world()
ITEMS = instructions(WORLD, "chat") + instructions(WORLD, "arena")
Answerer = Callable[[Instruction, int, str, random.Random], str]


def _shuffled(item: Instruction, turn: int, reference: str, rng: random.Random) -> str:
    words = reference.split()
    rng.shuffle(words)
    return " ".join(words)


def _generic_truth(item: Instruction, turn: int, reference: str, rng: random.Random) -> str:
    entity = rng.choice([e for e in WORLD.kind_of if e not in item.entities])
    return say(WORLD, [rng.choice(WORLD.statements(entity))], rng) or ""


def _other(item: Instruction, turn: int, reference: str, rng: random.Random) -> str:
    other = rng.choice([i for i in ITEMS if i.template != item.template])
    return reference_answer(WORLD, other, 0, rng)


def _keywords(item: Instruction, turn: int, reference: str, rng: random.Random) -> str:
    words = [w.strip(".,:").lower() for w in reference.split()]
    return ", ".join(dict.fromkeys(words)).capitalize() + "."


BAD: dict[str, tuple[float, Answerer]] = {
    "empty": (3.0, lambda item, turn, reference, rng: ""),
    "constant": (3.0, lambda item, turn, reference, rng: "I do not know."),
    "echo": (3.0, lambda item, turn, reference, rng: item.turns[turn]),
    "shuffled": (3.0, _shuffled),
    "wrong": (3.0, lambda i, turn, reference, rng: wrong_answer(WORLD, i.requirements[turn], reference, rng)),
    "true but not asked": (4.0, _generic_truth),
    "answer to another prompt": (4.0, _other),
    "one sentence ten times": (4.0, lambda i, turn, ref, rng: " ".join(sentences(ref)[:1] * 10)),
    "key words": (4.0, _keywords),
    "entities": (4.0, lambda i, turn, reference, rng: ", ".join(i.entities).capitalize() + "."),
}


def _grades(answerer: Answerer) -> dict[str, list[float]]:
    rng = random.Random(5)
    found: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    for item in ITEMS:
        previous = ""
        for turn in (0, 1):
            reference = reference_answer(WORLD, item, turn, rng, previous)
            answer = answerer(item, turn, reference, rng)
            found[item.category].append(grade(WORLD, item.requirements[turn], answer, previous).score)
            previous = reference
    return found


def test_references_grade_nine_or_more_each() -> None:
    for category, scores in _grades(lambda item, turn, reference, rng: reference).items():
        assert min(scores) >= 9.0, category


@pytest.mark.parametrize("name", BAD)
def test_bad_answers_grade_low_in_every_category(name: str) -> None:
    limit, answerer = BAD[name]
    for category, scores in _grades(answerer).items():
        assert mean(scores) <= limit, category


def test_flawed_answers_lie_between() -> None:
    rng = random.Random(6)
    scores = [grade(WORLD, i.requirements[0], flawed_answer(WORLD, i, 0, rng)).score for i in ITEMS]
    assert 3.0 < mean(scores) < 6.0
    assert len({round(score, 1) for score in scores}) > 20
    assert sum(3.0 < score < 9.0 for score in scores) / len(scores) > 0.35


STORY = {
    "kind": "story",
    "sentences": [3, 6],
    "strict": False,
    "cast": ["anna", "fox"],
    "place": "forest",
    "word": "hungry",
    "flow": "whole",
}
TALE = (
    "One day, Anna went to the forest. There she met a fox. The fox was hungry. In the end, they were friends."
).replace("they were friends", "they were good friends")


def _tale(text: str) -> float:
    return grade(WORLD, STORY, text).score


def test_a_story_loses_by_degrees() -> None:
    assert _tale(TALE) == pytest.approx(10.0)
    no_word = _tale(TALE.replace("hungry", "tired"))
    no_fox = _tale(TALE.replace("fox", "owl"))
    no_end = _tale(TALE.replace(" In the end, they were good friends.", ""))
    falsehood = _tale(TALE.replace("The fox was", "The fox ate some honey. The fox was"))
    assert 6.0 < no_word < 9.0
    assert no_fox < no_word
    assert 6.0 < no_end < 9.5
    assert 3.0 < falsehood < 6.0
    assert _tale(TALE.replace("met a fox", "met fox a")) < 8.0


def test_longer_is_not_better() -> None:
    more = ("The sun was warm.", "The fox climbed a hill.", "Anna heard a soft song.", "The wind stopped.")
    head, _, end = TALE.rpartition(" In the end")
    scores = [_tale(f"{head} {' '.join(more[:n])} In the end{end}".replace("  ", " ")) for n in range(5)]
    assert max(scores) == pytest.approx(scores[0])
    assert scores[1] == pytest.approx(10.0, abs=0.5)
    assert scores[4] < scores[3] < scores[2]  # beyond six sentences


def test_repetition_costs() -> None:
    once = _tale(TALE.replace("The fox was hungry.", "The fox was hungry. The fox was hungry."))
    twice = _tale(TALE.replace("The fox was hungry.", "The fox was hungry. The fox was hungry. The fox was hungry."))
    assert twice < once < 8.0


def test_follow_ups_look_at_the_answer_before() -> None:
    need = {
        "kind": "about",
        "sentences": [1, 3],
        "strict": False,
        "subject": "fox",
        "persona": "",
        "least": 1,
        "asked": [],
        "greet": "",
        "new": True,
    }
    assert grade(WORLD, need, "It is red.", "The fox eats mice.").score == pytest.approx(10.0)
    assert grade(WORLD, need, "It eats mice.", "The fox eats mice.").score < 2.0
    assert grade(WORLD, need, "She is red.", "The fox eats mice.").score < 2.0  # a fox is an "it"


def test_yes_with_a_no() -> None:
    need = {
        "kind": "states",
        "sentences": [1, 3],
        "strict": False,
        "all": [[["eats", "fox", "mice"]]],
        "word": "yes",
        "subject": "fox",
    }
    right, bare, contrary = (
        grade(WORLD, need, f"{w}fox eats mice.").score for w in ("Yes, the ", "The ", "No, the ")
    )
    assert right == pytest.approx(10.0)
    assert contrary < bare < right


def test_parts_make_the_score() -> None:
    graded = grade(WORLD, STORY, TALE.replace("hungry", "tired"))
    product = 1.0
    for part in graded.parts.values():
        assert 0.0 <= part <= 1.0 + 1e-9
        product *= part
    assert graded.score == pytest.approx(1.0 + 9.0 * product)


def test_prefer() -> None:
    low, near, high = Grade(5.0, {}), Grade(5.04, {}), Grade(9.0, {})
    assert (prefer(high, low), prefer(low, high), prefer(low, near)) == (1.0, 0.0, 0.5)
    assert prefer(near, low, tie=0.01) == 1.0


def test_corrupt_changes_a_claim() -> None:
    rng = random.Random(0)
    spoilt = {corrupt(WORLD, "The fox eats mice.", rng) for _ in range(10)}
    assert "The fox eats mice." not in spoilt
    assert all(s.startswith("The fox eats ") for s in spoilt)


def test_arbitrary_text_never_breaks_it() -> None:
    rng = random.Random(8)
    letters = "The fox. 1?!:,\n\tAnna é 😀 a an I i"
    for item in ITEMS[::5]:
        text = "".join(rng.choice(letters) for _ in range(60))
        assert 1.0 <= grade(WORLD, item.requirements[0], text, text).score <= 10.0


def test_any_sentence_of_the_world_can_be_graded_against_any_requirement() -> None:
    rng = random.Random(10)
    known = grammar(WORLD)
    said = []
    for form in known.forms:
        words = {name: rng.choice(sorted(known.types[t])) for name, t in form.slots.items()}
        said.append(known.fill(form, words))
    for i, item in enumerate(ITEMS):
        answer = " ".join(rng.sample(said, 12))
        for need in item.requirements:
            assert 1.0 <= grade(WORLD, need, answer, said[i]).score < 4.0


def test_fast() -> None:
    rng = random.Random(9)
    work = [(i.requirements[0], reference_answer(WORLD, i, 0, rng)) for i in ITEMS]
    start = time.perf_counter()
    for need, answer in work:
        grade(WORLD, need, answer)
    assert (time.perf_counter() - start) / len(work) < 1e-3
