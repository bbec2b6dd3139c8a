"""What the world can say it can read, and nothing else."""

from __future__ import annotations

import random

import pytest

from ropo_bench.pocket.grammar import grammar, meaning, parse, say, sentences
from ropo_bench.pocket.world import Statement, build_world

WORLD = build_world()
GRAMMAR = grammar(WORLD)


def _filled(rng: random.Random) -> list[str]:
    return [
        GRAMMAR.fill(form, {name: rng.choice(sorted(GRAMMAR.types[t])) for name, t in form.slots.items()})
        for form in GRAMMAR.forms
    ]


@pytest.mark.parametrize("seed", range(6))
def test_every_form_is_read_back_with_its_meaning(seed: int) -> None:
    rng = random.Random(seed)
    for form in GRAMMAR.forms:
        words = {name: rng.choice(sorted(GRAMMAR.types[t])) for name, t in form.slots.items()}
        parsed = parse(WORLD, GRAMMAR.fill(form, words))
        assert parsed is not None, form
        assert (parsed.role, parsed.statements) == (form.role, meaning(form, words))


def test_shuffled_words_are_hardly_ever_grammatical() -> None:
    rng = random.Random(1)
    read = []
    for sentence in _filled(rng):
        words = sentence.split()
        if len(words) > 3:
            rng.shuffle(words)
            read.append(" ".join(words) != sentence and parse(WORLD, " ".join(words)) is not None)
    assert len(read) > 1000
    assert sum(read) / len(read) < 0.01


@pytest.mark.parametrize(
    "sentence",
    [
        "the fox eats mice.",  # no capital
        "The fox eats mice",  # no stop
        "The Fox eats mice.",  # a name it is not
        "The fox  eats mice.",  # two spaces
        "A owl is a bird.",  # a for an
        "The fox eats hammers.",
        "The fox eats.",
        "Fox, owl, forest are.",
        "Tom went to the mice.",
        ".",
    ],
)
def test_not_grammatical(sentence: str) -> None:
    assert parse(WORLD, sentence) is None


@pytest.mark.parametrize(
    ("sentence", "statements"),
    [
        ("The fox eats mice and lives in the forest.", [("eats", "fox", "mice"), ("home", "fox", "forest")]),
        ("An owl is a kind of bird.", [("group", "owl", "bird")]),
        ("I feed on mice.", [("eats", "i", "mice")]),
        ("The fox and the owl both eat mice.", [("eats", "fox", "mice"), ("eats", "owl", "mice")]),
        ("Three plus four is seven.", [("plus", "three four", "seven")]),
        ("Step two: wash the carrot.", [("step", "two", "wash carrot")]),
        ("One day, Anna went to the forest.", []),
        ("The list is two, five, nine.", [("list", "", "two five nine")]),
        ("Yes, the fox is red.", [("colour", "fox", "red")]),
    ],
)
def test_worked_readings(sentence: str, statements: list[tuple[str, str, str]]) -> None:
    parsed = parse(WORLD, sentence)
    assert parsed is not None
    assert list(parsed.statements) == statements


def test_every_fact_can_be_said_in_at_least_two_ways() -> None:
    rng = random.Random(2)
    for entity in WORLD.kind_of:
        for fact in WORLD.statements(entity):
            said = {say(WORLD, [fact], rng) for _ in range(12)}
            assert None not in said
            assert len(said) >= 2, fact
            for sentence in said:
                parsed = parse(WORLD, sentence or "")
                assert parsed is not None
                assert parsed.statements == (fact,)


def test_what_is_said_of_it_means_one_thing() -> None:
    for entity in WORLD.kind_of:
        for fact in WORLD.statements(entity):
            sentence = say(WORLD, [fact], random.Random(0), pronoun=True)
            parsed = parse(WORLD, sentence) if sentence else None
            if parsed is not None:
                assert parsed.statements[0].relation == fact.relation, sentence


def test_pronouns() -> None:
    sentence = say(WORLD, [Statement("eats", "fox", "mice")], random.Random(0), pronoun=True)
    assert sentence is not None
    assert sentence.startswith("It ")


def test_sentences_keep_an_unfinished_end() -> None:
    assert sentences("The fox eats mice. It is") == ["The fox eats mice.", "It is"]


def test_vocabulary_is_about_a_thousand_words() -> None:
    words = {w for form in GRAMMAR.forms for w in form.items if isinstance(w, str)}
    words |= {w for form in GRAMMAR.forms for t in form.slots.values() for w in GRAMMAR.types[t]}
    assert 700 <= len(words) <= 1100
