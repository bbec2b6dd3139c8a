"""What an instruction template is, and the questions that all templates share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ropo_bench.pocket import lexicon
from ropo_bench.pocket.world import Statement, World

Entities = tuple[str, ...]
Requirement = dict[str, Any]
Made = tuple[tuple[str, str], tuple[Requirement, Requirement]]

CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of instruction.

    draw: the entities of one instruction, None to draw again; make: its two turns and what they require;
    open: whether many answers of different length are equally good.
    """

    id: str
    category: str
    draw: Callable[[World, random.Random], Entities | None]
    make: Callable[[World, Entities, random.Random], Made]
    open: bool = False


def require(kind: str, low: int, high: int, *, strict: bool = False, **fields: Any) -> Requirement:
    """A requirement for an answer of low to high sentences; strict: the prompt itself names the number."""
    return {"kind": kind, "sentences": [low, high], "strict": strict, **fields}


def states(*groups: Iterable[Statement], low: int = 1, high: int = 3, **fields: Any) -> Requirement:
    """One of the statements of every group has to be said."""
    return require("states", low, high, all=[[list(s) for s in group] for group in groups], **fields)


def noun(world: World, entity: str) -> str:
    """The entity as the prompts name it: "the fox", "Anna"."""
    return entity.capitalize() if world.kind_of.get(entity) == "person" else f"the {entity}"


def indefinite(world: World, entity: str) -> str:
    """The entity at its first appearance: "a fox", "an owl", "Anna"."""
    return entity.capitalize() if world.kind_of.get(entity) == "person" else article(entity)


def article(word: str) -> str:
    """The word with "a" or "an"."""
    return f"{lexicon.article(word)} {word}"


def upper(text: str) -> str:
    """The text with a capital first letter."""
    return text[0].upper() + text[1:]


def enumerate_words(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


QUESTIONS: dict[tuple[str, str], str] = {
    ("animal", "group"): "what kind of animal is {x}",
    ("animal", "eats"): "what does {x} eat",
    ("animal", "home"): "where does {x} live",
    ("animal", "colour"): "what colour is {x}",
    ("animal", "size"): "how big is {x}",
    ("animal", "can"): "what can {x} do",
    ("food", "course"): "what kind of food is {x}",
    ("food", "colour"): "what colour is {x}",
    ("food", "taste"): "how does {x} taste",
    ("food", "source"): "where does {x} come from",
    ("tool", "use"): "what is {x} used for",
    ("tool", "kept"): "where is {x} kept",
    ("tool", "material"): "what is {x} made of",
    ("place", "feel"): "what is {x} like",
    ("place", "has"): "what is there in {x}",
    ("place", "activity"): "what do people do in {x}",
    ("plant", "form"): "what kind of plant is {x}",
    ("plant", "colour"): "what colour is {x}",
    ("plant", "grows"): "where does {x} grow",
    ("plant", "season"): "when is {x} best",
    ("person", "works"): "what is the job of {x}",
    ("person", "home"): "where does {x} live",
    ("person", "likes"): "what food does {x} like",
    ("person", "pet"): "which pet does {x} have",
    ("person", "trait"): "what is {x} like",
}
# Put to somebody who is to answer for himself.
TO_YOU: dict[str, str] = {
    "group": "what kind of animal are you",
    "eats": "what do you eat",
    "home": "where do you live",
    "colour": "what colour are you",
    "size": "how big are you",
    "can": "what can you do",
    "use": "what are you used for",
    "kept": "where are you kept",
    "material": "what are you made of",
    "works": "what is your job",
    "likes": "what food do you like",
    "pet": "which pet do you have",
    "trait": "what are you like",
}


def question(world: World, entity: str, relation: str, *, pronoun: bool = False) -> str:
    """The question for one fact, without capital and question mark."""
    kind = world.kind_of[entity]
    text = QUESTIONS[kind, relation]
    if not pronoun:
        return text.format(x=noun(world, entity))
    word = world.pronoun(entity)
    if relation == "works":
        return f"what is {'her' if word == 'she' else 'his'} job"
    return text.format(x=word if kind != "place" else "that place")


def fact(world: World, entity: str, relation: str) -> Statement:
    """The true statement about one entity and relation."""
    return Statement(relation, entity, world.value(entity, relation))


def answer(value: str) -> Statement:
    """ "The answer is ..."."""
    return Statement("answer", "", value)


def name_one(kind: str, where: list[list[str]], excluded: list[str], count: int = 1) -> Requirement:
    """Entities of a kind with the values in where, or bigger or smaller than another."""
    return require("name", 1, count + 2, of=kind, where=where, excluded=excluded, count=count)


def items(words: list[str]) -> Requirement:
    """A list of words in this order."""
    return require("items", 1, 1, items=words)


def hero(world: World, rng: random.Random) -> str:
    """An animal or a person."""
    return rng.choice(world.kinds[rng.choice(("animal", "person"))])


def two_heroes(world: World, rng: random.Random) -> tuple[str, str]:
    """Two different ones."""
    first, second = hero(world, rng), hero(world, rng)
    while second == first:
        second = hero(world, rng)
    return first, second
