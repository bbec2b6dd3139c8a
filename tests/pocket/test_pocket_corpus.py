"""The texts are seeded, teach every fact, and speak correctly; the quiz asks for what they teach."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

from ropo_bench.pocket.corpus import pretraining_texts, sft_dialogues
from ropo_bench.pocket.grader import grade
from ropo_bench.pocket.grammar import parse, sentences
from ropo_bench.pocket.instructions import instructions
from ropo_bench.pocket.quiz import PLAIN_QUESTIONS, QUIZ_QUESTIONS, quiz_items
from ropo_bench.pocket.world import build_world

WORLD = build_world()
CODE = """
import hashlib, json
from ropo_bench.pocket.corpus import pretraining_texts, sft_dialogues
from ropo_bench.pocket.quiz import quiz_items
from ropo_bench.pocket.world import build_world
w = build_world()
made = [list(pretraining_texts(w, 3, 300)), sft_dialogues(w, 3, 60, 0.6), quiz_items(w)]
print(hashlib.sha256(json.dumps(made).encode()).hexdigest())
"""


@cache  # seconds: not where tests are only collected
def texts() -> list[str]:
    return list(pretraining_texts(WORLD, 0, 6000))


def test_bit_for_bit_whatever_the_hash_seed() -> None:
    made = [list(pretraining_texts(WORLD, 3, 300)), sft_dialogues(WORLD, 3, 60, 0.6), quiz_items(WORLD)]
    expected = hashlib.sha256(json.dumps(made).encode()).hexdigest()
    environment = {**os.environ, "PYTHONHASHSEED": "17"}
    run = [sys.executable, "-c", CODE]
    found = subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout
    assert found.strip() == expected


def test_seeds_differ() -> None:
    assert list(pretraining_texts(WORLD, 1, 50)) != list(pretraining_texts(WORLD, 2, 50))
    assert sft_dialogues(WORLD, 1, 20, 0.6) != sft_dialogues(WORLD, 2, 20, 0.6)


def test_no_claim_of_the_corpus_is_false() -> None:
    for text in texts():
        for sentence in sentences(text):
            parsed = parse(WORLD, sentence)
            for statement in parsed.statements if parsed else ():
                if statement.subject in WORLD.kind_of:
                    assert WORLD.holds(statement) is not False, text


def test_every_fact_is_told() -> None:
    told = {s for text in texts() for x in sentences(text) if (p := parse(WORLD, x)) for s in p.statements}
    told_share = sum(s in told for e in WORLD.kind_of for s in WORLD.statements(e)) / len(WORLD.facts)
    assert told_share > 0.95


def test_texts_are_short_and_whole() -> None:
    lengths = [len(text.split()) for text in texts()]
    assert min(lengths) >= 3
    assert max(lengths) <= 110
    assert all(text.endswith(".") and "  " not in text and "{" not in text for text in texts())


def test_dialogues_alternate_and_fit() -> None:
    dialogues = sft_dialogues(WORLD, 0, 600, 0.6)
    for dialogue in dialogues:
        assert [m["role"] for m in dialogue] == ["user", "assistant"] * (len(dialogue) // 2)
        assert sum(len(m["content"].split()) for m in dialogue) <= 170
        assert all(m["content"].strip() for m in dialogue)
    assert Counter(len(d) for d in dialogues)[4] / len(dialogues) == pytest.approx(0.75, abs=0.06)


def test_good_share_sets_the_quality() -> None:
    known = {i.turns[0]: i for i in instructions(WORLD, "sft")}

    def mean_grade(good_share: float) -> float:
        scores = []
        for dialogue in sft_dialogues(WORLD, 4, 1500, good_share):
            item = known.get(dialogue[0]["content"])
            if item is not None:
                scores.append(grade(WORLD, item.requirements[0], dialogue[1]["content"]).score)
        assert len(scores) > 120
        return sum(scores) / len(scores)

    bad, mixed, good = (mean_grade(share) for share in (0.0, 0.6, 1.0))
    assert bad < 5.5 < mixed < 9.0 < good


def test_quiz() -> None:
    items = quiz_items(WORLD)
    assert len(items) == 300
    assert items == quiz_items(WORLD)
    answers = Counter(item["answer"] for item in items)
    assert set(answers) == {0, 1, 2, 3}
    assert min(answers.values()) > 45
    for item in items:
        assert len(set(item["choices"])) == 4
        right = item["choices"][item["answer"]]
        assert WORLD.value(item["entity"], item["relation"]) == right
    assert {item["kind"] for item in items} == set(WORLD.kinds)


def test_quiz_asks_in_words_of_its_own() -> None:
    assert QUIZ_QUESTIONS.keys() == PLAIN_QUESTIONS.keys() == WORLD.values.keys()
    plain = {question for group in PLAIN_QUESTIONS.values() for question in group}
    assert not plain & set(QUIZ_QUESTIONS.values())
    questions = {item["question"] for item in quiz_items(WORLD)}
    assert not any(question in text for text in texts()[:3000] for question in questions)
