"""Spoils good answers the way that real models do: from a small slip to entirely wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from ropo_bench.pocket.grammar import grammar, say, sentences
from ropo_bench.pocket.world import World

Requirement = Mapping[str, Any]
GENERIC = (
    "I do not know.",
    "That is a good question.",
    "It is a nice thing.",
    "I like to talk about it.",
    "There is much to say about it.",
)
# Slots whose word carries the claim of a sentence.
_CLAIMS = ("v", "c", "n", "o", "feeling", "d", "p", "i", "k", "y", "x", "a", "b")


def flawed(world: World, need: Requirement, answer: str, rng: random.Random) -> str:
    """The answer with one flaw, or with two in a quarter of cases."""
    for _ in range(1 if rng.random() < 0.75 else 2):
        answer = rng.choices(FLAWS, WEIGHTS)[0](world, need, answer, rng)
    return answer


def corrupt(world: World, sentence: str, rng: random.Random) -> str:
    """The sentence with another word where its claim is; the same sentence where it claims nothing."""
    known = grammar(world)
    parsed = known.parse(sentence)
    if parsed is None or not parsed.statements:
        return sentence
    form, bindings = parsed.form, dict(parsed.bindings)
    types = form.slots
    slots = [s for s in types if s.rstrip("123") in world.values] or [s for s in types if s[0] == "w"]
    slots = slots or [s for s in _CLAIMS if s in types][:1]
    for _ in range(8 if slots else 0):
        slot = rng.choice(slots)
        options = known.types[types[slot]] - set(bindings.values())
        if options:
            changed = known.fill(form, {**bindings, slot: rng.choice(sorted(options))})
            if changed != sentence:
                return changed
    return sentence


def corrupted(world: World, answer: str, rng: random.Random) -> str:
    """The answer with every claim replaced by another."""
    return " ".join(corrupt(world, sentence, rng) for sentence in sentences(answer))


def wrong_fact(world: World, need: Requirement, answer: str, rng: random.Random) -> str:
    """One claim is wrong; a story gets a false claim about one of its cast."""
    parts = sentences(answer)
    able = [i for i, part in enumerate(parts) if corrupt(world, part, rng) != part]
    if able:
        i = rng.choice(able)
        parts[i] = corrupt(world, parts[i], rng)
    else:
        known = sorted(e for e in _entities(need) if e in world.kind_of)
        if known:
            entity = rng.choice(known)
            said = say(world, [rng.choice(world.statements(entity))], rng)
            parts.insert(rng.randrange(len(parts) + 1), corrupt(world, said or "", rng))
    return " ".join(parts)


def wrong_answer(world: World, need: Requirement, answer: str, rng: random.Random) -> str:
    """The answer with its claims wrong; a text without claims gets two false ones about whom it tells of."""
    spoilt = corrupted(world, answer, rng)
    if need["kind"] in ("story", "diary", "letter", "scene"):
        known = [e for e in dict.fromkeys(_entities(need)) if e in world.kind_of]
        for _ in range(2):
            entity = rng.choice(known)
            fact = rng.choice(world.statements(entity))
            spoilt += " " + corrupt(world, say(world, [fact], rng) or "", rng)
    return spoilt


def _entities(need: Requirement) -> list[str]:
    named = [need.get(key, "") for key in ("subject", "persona", "place", "person", "sender", "item")]
    return [e for e in (*named, *need.get("cast", ()), *need.get("pair", ())) if e]


def drop_sentence(world: World, need: Requirement, answer: str, rng: random.Random) -> str:
    """One sentence is missing."""
    parts = sentences(answer)
    if len(parts) > 1:
        parts.pop(rng.randrange(len(parts)))
    return " ".join(parts)


def too_short(world: World, need: Requirement, answer: str, rng: random.Random) -> str:
    """Only the first sentence."""
    return sentences(answer)[0]


def repeat(world: World, need: Requirement, answer: str, rng: random.Random) -> str:
    """One sentence is said twice or three times."""
    parts = sentences(answer)
    again = rng.choice(parts)
    for _ in range(rng.choice((1, 1, 2))):
        parts.insert(rng.randrange(len(parts) + 1), again)
    return " ".join(parts)


def off_topic(world: World, need: Requirement, answer: str, rng: random.Random) -> str:
    """A true sentence about something else."""
    parts = sentences(answer)
    kind = rng.choice(sorted(world.kinds))
    fact = rng.choice(world.statements(rng.choice(world.kinds[kind])))
    parts.insert(rng.randrange(len(parts) + 1), say(world, [fact], rng) or "")
    return " ".join(part for part in parts if part)


def ramble(world: World, need: Requirement, answer: str, rng: random.Random) -> str:
    """Two to four true sentences too many."""
    for _ in range(rng.choice((2, 3, 4))):
        answer = f"{answer} {off_topic(world, need, 'X.', rng).replace('X.', '').strip()}"
    return answer


def generic(world: World, need: Requirement, answer: str, rng: random.Random) -> str:
    """Something that says nothing."""
    return rng.choice(GENERIC)


def swap_order(world: World, need: Requirement, answer: str, rng: random.Random) -> str:
    """Two sentences, or two words of a list, have changed places."""
    parts = sentences(answer)
    if len(parts) > 1:
        i, j = rng.sample(range(len(parts)), 2)
        parts[i], parts[j] = parts[j], parts[i]
        return " ".join(parts)
    return corrupt(world, answer, rng)


FLAWS: tuple[Callable[[World, Requirement, str, random.Random], str], ...] = (
    wrong_fact,
    drop_sentence,
    too_short,
    repeat,
    off_topic,
    ramble,
    generic,
    swap_order,
)
WEIGHTS = (30, 12, 8, 12, 14, 8, 4, 12)
