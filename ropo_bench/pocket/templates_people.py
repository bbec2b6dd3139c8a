"""Roleplay and humanities: to speak as somebody, and to understand people and their situations."""

from __future__ import annotations

import random
from typing import Any

from ropo_bench.pocket import lexicon
from ropo_bench.pocket.phrases import SITUATIONS
from ropo_bench.pocket.templates import (
    TO_YOU,
    Entities,
    Made,
    Requirement,
    fact,
    indefinite,
    noun,
    question,
    require,
    states,
    upper,
)
from ropo_bench.pocket.world import World


def _you_are(world: World, me: str, rng: random.Random) -> str:
    name = indefinite(world, me)
    return rng.choice((f"You are {name}.", f"Imagine that you are {name}.", f"Speak as {name}."))


def _voice(me: str, least: int, low: int, high: int, **fields: Any) -> Requirement:
    defaults: dict[str, Any] = {"subject": me, "persona": me, "least": least, "asked": [], "greet": "", "new": False}
    return require("about", low, high, **{**defaults, **fields})


def _voice_follow_up(
    world: World, me: str, rng: random.Random, told: tuple[str, ...] = ()
) -> tuple[str, Requirement]:
    if rng.random() < 0.6:
        relation = rng.choice([r for r in world.relations(me) if r not in told])
        text = upper(TO_YOU[relation]) + "?"
        return rng.choice((text, f"And {TO_YOU[relation]}?")), _voice(me, 1, 1, 3, asked=[relation])
    text = rng.choice(("Tell me one more thing about you.", "What else can you say about you?"))
    return text, _voice(me, 1, 1, 3, new=True)


def introduce(world: World, entities: Entities, rng: random.Random) -> Made:
    """To introduce oneself as somebody else."""
    me, other = entities
    name = noun(world, other)
    ask = rng.choice(
        (
            f"Introduce yourself to {name}.",
            f"You meet {name}. Say hello and tell something about you.",
            f"Tell {name} who you are.",
        )
    )
    follow, second = _voice_follow_up(world, me, rng)
    return (f"{_you_are(world, me, rng)} {ask}", follow), (_voice(me, 2, 2, 6, greet=other), second)


def ask_voice(world: World, entities: Entities, rng: random.Random) -> Made:
    """Two questions to somebody, or something, that answers for itself."""
    me, one, two = entities
    ask = upper(TO_YOU[one]) + rng.choice((", and ", " and ")) + TO_YOU[two] + "?"
    follow, second = _voice_follow_up(world, me, rng, (one, two))
    return (f"{_you_are(world, me, rng)} {ask}", follow), (_voice(me, 2, 1, 4, asked=[one, two]), second)


def day(world: World, entities: Entities, rng: random.Random) -> Made:
    """A day told in the first person."""
    me, other, place = entities
    ask = rng.choice(
        (
            f"Tell me about your day in the {place} with {noun(world, other)}.",
            f"Today you met {noun(world, other)} in the {place}. What happened?",
        )
    )
    first = require("diary", 3, 7, persona=me, cast=[other], place=place, word="", new=False)
    if rng.random() < 0.5:
        follow = rng.choice(("How did you feel, and what did you do then?", "And what happened after that?"))
        return (f"{_you_are(world, me, rng)} {ask}", follow), (
            first,
            require("diary", 1, 4, persona=me, cast=[], place="", word="", new=True),
        )
    follow, second = _voice_follow_up(world, me, rng)
    return (f"{_you_are(world, me, rng)} {ask}", follow), (first, second)


def person_two(world: World, entities: Entities, rng: random.Random) -> Made:
    """Two questions about somebody, then a third."""
    name, one, two = entities
    link = rng.choice((", and ", " and "))
    text = upper(question(world, name, one)) + link + question(world, name, two, pronoun=True) + "?"
    rest = [r for r in world.relations(name) if r not in (one, two)]
    third = rng.choice(rest)
    follow = rng.choice(
        (
            f"And {question(world, name, third, pronoun=True)}?",
            upper(question(world, name, third, pronoun=True)) + "?",
        )
    )
    need = states([fact(world, name, one)], [fact(world, name, two)], subject=name)
    return (text, follow), (need, states([fact(world, name, third)], subject=name))


def person_about(world: World, entities: Entities, rng: random.Random) -> Made:
    """Some facts about somebody, then one more."""
    name, number = entities
    count = lexicon.NUMBERS.index(number)
    person = name.capitalize()
    text = rng.choice(
        (
            f"Tell me at least {number} things about {person}.",
            f"Who is {person}? Give me {number} facts or more.",
            f"Describe {person} with {number} facts or more.",
        )
    )
    first = require("about", 1, count + 3, subject=name, persona="", least=count, asked=[], greet="", new=False)
    follow = rng.choice(("Tell me one more thing.", "What else do you know?"))
    return (text, follow), (
        first,
        require("about", 1, 3, subject=name, persona="", least=1, asked=[], greet="", new=True),
    )


def _situation(world: World, situation: str, name: str, rng: random.Random) -> str:
    line = SITUATIONS[situation][0].replace("{thing}", "book" if rng.random() < 0.5 else "kite")
    return upper(line.replace("{x}", name.capitalize())) + "."


def advice(world: World, entities: Entities, rng: random.Random) -> Made:
    """What a friend can do in a situation."""
    situation, name, friend = entities
    a, b = name.capitalize(), friend.capitalize()
    ask = rng.choice(
        (
            f"What can {b} do for {a}?",
            f"{b} is a friend of {a}. How can {b} help?",
            f"How can {b} be kind to {a} now?",
        )
    )
    fields: dict[str, Any] = {"situation": situation, "person": name, "friend": friend}
    first = require("advice", 1, 4, **fields, least=1, feeling=False, new=False)
    if rng.random() < 0.5:
        follow, second = (
            f"How does {a} feel, and why?",
            require("advice", 1, 3, **fields, least=0, feeling=True, new=False),
        )
    else:
        follow = rng.choice(("Name another thing to do.", "What else could help?"))
        second = require("advice", 1, 3, **fields, least=1, feeling=False, new=True)
    return (f"{_situation(world, situation, name, rng)} {ask}", follow), (first, second)


def feel(world: World, entities: Entities, rng: random.Random) -> Made:
    """How somebody feels in a situation, and what helps."""
    situation, name = entities
    a = name.capitalize()
    ask = rng.choice((f"How does {a} feel, and what can a friend do?", f"Say how {a} feels and what would help."))
    fields: dict[str, Any] = {"situation": situation, "person": name, "friend": ""}
    first = require("advice", 2, 5, **fields, least=1, feeling=True, new=False)
    follow = rng.choice(("What else could a friend do?", "Name another thing to do."))
    second = require("advice", 1, 3, **fields, least=1, feeling=False, new=True)
    return (f"{_situation(world, situation, name, rng)} {ask}", follow), (first, second)


def gift(world: World, entities: Entities, rng: random.Random) -> Made:
    """What to bring to somebody: what he or she likes."""
    giver, name = entities
    a, b = giver.capitalize(), name.capitalize()
    text = rng.choice(
        (
            f"{a} looks for a good gift for {b}. What food should it be?",
            f"Which food can {a} bring to {b}?",
            f"{b} comes to dinner. What should {a} serve?",
        )
    )
    relation = rng.choice([r for r in world.relations(name) if r != "likes"])
    follow = f"And {question(world, name, relation, pronoun=True)}?"
    return (text, follow), (
        states([fact(world, name, "likes")], subject=name),
        states([fact(world, name, relation)], subject=name),
    )
