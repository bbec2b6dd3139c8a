"""The splits keep evaluation apart from training, and every prompt carries what its grader needs."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter

import pytest

from ropo_bench.pocket.catalogue import TEMPLATES
from ropo_bench.pocket.corpus import pretraining_texts, sft_dialogues
from ropo_bench.pocket.instructions import SPLITS, Split, instructions
from ropo_bench.pocket.prompts import PromptSet, pocket_prompts
from ropo_bench.pocket.templates import CATEGORIES
from ropo_bench.pocket.world import build_world

WORLD = build_world()
ALL = {split: instructions(WORLD, split) for split in SPLITS}
EVALUATION: tuple[Split, ...] = ("validation", "chat", "arena", "diversity")


def test_sizes() -> None:
    sizes = {split: len(items) for split, items in ALL.items()}
    assert sizes.pop("sft") >= 10_000
    assert sizes == {"preference": 3000, "validation": 200, "chat": 80, "arena": 240, "diversity": 40}
    for split, count in (("chat", 10), ("arena", 30), ("validation", 25), ("preference", 375)):
        assert Counter(i.category for i in ALL[split]) == dict.fromkeys(CATEGORIES, count)
    assert {i.category for i in ALL["diversity"]} == {"writing", "roleplay", "humanities"}


def test_every_template_is_taught() -> None:
    assert Counter(i.template for i in ALL["sft"]).keys() == {t.id for t in TEMPLATES}
    assert min(Counter(i.template for i in ALL["sft"]).values()) >= 50


@pytest.mark.parametrize("pair", itertools.combinations(SPLITS, 2))
def test_no_template_and_entities_in_two_splits(pair: tuple[Split, Split]) -> None:
    first, second = ({(i.template, tuple(sorted(i.entities))) for i in ALL[split]} for split in pair)
    assert not first & second


def test_no_evaluation_prompt_in_any_training_text() -> None:
    held_out = {i.turns[0] for split in EVALUATION for i in ALL[split]}
    assert len(held_out) == 560
    trained = {i.turns[0] for split in ("sft", "preference") for i in ALL[split]}
    dialogues = sft_dialogues(WORLD, 7, 1500, 0.7)
    trained |= {m["content"] for dialogue in dialogues for m in dialogue if m["role"] == "user"}
    assert not held_out & trained
    texts = list(pretraining_texts(WORLD, 7, 4000))
    asked = {s for text in texts for s in re.findall(r"[^.?!:]+[.?!]", text.replace("\n", " "))}
    assert not {s.strip() for s in asked} & held_out
    assert not any(prompt in text for text in texts for prompt in itertools.islice(sorted(held_out), 0, None, 9))


def test_all_entities_are_in_the_first_turn() -> None:
    for instruction in ALL["arena"]:
        text = re.sub(r"[^a-z ]", " ", instruction.turns[0].lower())
        for entity in instruction.entities:
            if entity in WORLD.kind_of:
                assert entity in text.split(), instruction


def test_requirements_are_json() -> None:
    for instruction in ALL["chat"] + ALL["preference"]:
        requirements = list(instruction.requirements)
        assert json.loads(json.dumps(requirements)) == requirements


def test_prompts_are_short_and_carry_their_requirements() -> None:
    names: tuple[PromptSet, ...] = ("chat", "arena", "diversity", "validation", "preference")
    for name in names:
        prompts = pocket_prompts(name)
        assert len({p.id for p in prompts}) == len(prompts) == len(ALL[name])
        for prompt in prompts:
            assert len(prompt.turns) == len(prompt.metadata["requirements"]) == (2 if name == "chat" else 1)
            assert sum(len(turn.split()) for turn in prompt.turns) <= 50
            assert set(prompt.metadata) == {"requirements", "template", "entities"}


def test_same_every_time() -> None:
    assert instructions(WORLD, "arena") == ALL["arena"]
