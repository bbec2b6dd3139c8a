"""Writing: stories, scenes and letters, with many good answers."""

from __future__ import annotations

import random
from typing import Any

from ropo_bench.pocket import lexicon
from ropo_bench.pocket.templates import Entities, Made, Requirement, article, indefinite, require
from ropo_bench.pocket.world import World


def story(low: int, high: int, cast: list[str], **fields: Any) -> Requirement:
    """A story about the cast; flow: which parts it needs ("whole", "next" or "end")."""
    defaults: dict[str, Any] = {"cast": cast, "place": "", "word": "", "flow": "whole"}
    return require("story", low, high, **{**defaults, **fields})


def _story_follow_up(cast: list[str], place: str, rng: random.Random) -> tuple[str, Requirement]:
    choice = rng.randrange(4)
    if choice == 0:
        text = rng.choice(
            ("Now tell it again in at most two sentences.", "Please make it shorter, two sentences at most.")
        )
        return text, story(1, 2, cast, place=place, strict=True, flow="short")
    if choice == 1:
        word = rng.choice(lexicon.MOODS + lexicon.THINGS)
        text = rng.choice((f"Now tell it again and use the word {word}.", f"Tell it once more with the word {word}."))
        return text, story(2, 7, cast, place=place, word=word)
    if choice == 2:
        text = rng.choice(("What happened next?", "Please go on with the story."))
        return text, story(1, 5, cast[:1], new=True, flow="next")
    mood = rng.choice(("happy", "sad", "glad", "tired", "proud")[:4])
    text = rng.choice(
        (f"Now write a new ending with the word {mood}.", f"Give it a new end and use the word {mood}.")
    )
    return text, story(1, 3, cast[:1], word=mood, new=True, flow="end")


def story_two(world: World, entities: Entities, rng: random.Random) -> Made:
    """A story of two in a place."""
    first, second, place = entities
    a, b = indefinite(world, first), indefinite(world, second)
    text = rng.choice(
        (
            f"Write a short story about {a} and {b} in the {place}.",
            f"Tell me a story in the {place} with {a} and {b}.",
            f"Please write a few sentences about how {a} met {b} in the {place}.",
        )
    )
    follow, second_need = _story_follow_up([first, second], place, rng)
    return (text, follow), (story(3, 8, [first, second], place=place), second_need)


def story_word(world: World, entities: Entities, rng: random.Random) -> Made:
    """A story with a word that must be used."""
    first, place, word = entities
    a = indefinite(world, first)
    text = rng.choice(
        (
            f"Write a short story about {a} in the {place}. Use the word {word}.",
            f"Tell a story about {a} and the {place} with the word {word} in it.",
            f"Use the word {word} in a small story about {a} in the {place}.",
        )
    )
    follow, second_need = _story_follow_up([first], place, rng)
    return (text, follow), (story(3, 8, [first], place=place, word=word), second_need)


def story_length(world: World, entities: Entities, rng: random.Random) -> Made:
    """A story of exactly, or at least, so many sentences."""
    first, second, number = entities
    count = lexicon.NUMBERS.index(number)
    a, b = indefinite(world, first), indefinite(world, second)
    exactly = rng.random() < 0.5
    text = rng.choice(
        (
            f"Write a story about {a} and {b} in %s {number} sentences.",
            f"In %s {number} sentences, tell me about {a} and {b}.",
        )
    ) % ("exactly" if exactly else "at least")
    follow, second_need = _story_follow_up([first, second], "", rng)
    high = count if exactly else count + 4
    return (text, follow), (story(count, high, [first, second], strict=True), second_need)


def scene(world: World, entities: Entities, rng: random.Random) -> Made:
    """A place in its weather."""
    place, weather = entities
    text = rng.choice(
        (
            f"Describe the {place} on {article(weather)} day.",
            f"What is it like in the {place} when it is {weather}? Describe it.",
            f"Write a few sentences about {article(weather)} day in the {place}.",
        )
    )
    first = require("scene", 2, 6, place=place, word=weather, new=False)
    if rng.random() < 0.5:
        other = rng.choice([w for w in lexicon.WEATHERS if w != weather])
        follow = rng.choice((f"And on {article(other)} day?", f"Now describe it on {article(other)} day."))
        return (text, follow), (first, require("scene", 2, 6, place=place, word=other, new=True))
    follow = rng.choice(("Say it in one sentence.", "Now use only one sentence."))
    return (text, follow), (first, require("scene", 1, 1, place=place, word=weather, new=False, strict=True))


def letter(world: World, entities: Entities, rng: random.Random) -> Made:
    """A letter about a thing, and then the answer to it or a place to name."""
    sender, receiver, thing = entities
    a, b = sender.capitalize(), receiver.capitalize()
    text = rng.choice(
        (
            f"Write a short letter from {a} to {b} about {article(thing)}.",
            f"{a} writes to {b} about {article(thing)}. Write the letter.",
            f"Help {a} to write a letter to {b}. It is about {article(thing)}.",
        )
    )
    first = require("letter", 3, 7, sender=sender, receiver=receiver, word=thing)
    if rng.random() < 0.5:
        follow = rng.choice((f"Now write the answer of {b}.", f"What does {b} write back?"))
        return (text, follow), (first, require("letter", 3, 7, sender=receiver, receiver=sender, word=thing))
    place = rng.choice(world.kinds["place"])
    follow = rng.choice((f"Write it again and name the {place}.", f"Put the {place} in the letter."))
    return (text, follow), (first, require("letter", 3, 7, sender=sender, receiver=receiver, word=place))
