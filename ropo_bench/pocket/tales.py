"""Builds stories, diaries, letters and scenes that meet a requirement."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from ropo_bench.pocket import lexicon
from ropo_bench.pocket.grammar import Grammar, grammar, say
from ropo_bench.pocket.world import World

Requirement = Mapping[str, Any]


def words_for(world: World, rng: random.Random, first: str, second: str, place: str, word: str) -> dict[str, str]:
    """Words for the slots of a text: its two heroes, place and one thing; a required word takes its slot."""
    words = {
        "x": first,
        "y": second,
        "p": world.pronoun(first) if first else "it",
        "place": place or rng.choice(world.kinds["place"]),
        "thing": rng.choice(lexicon.THINGS),
        "mood": rng.choice(lexicon.MOODS),
        "upset": word if word in lexicon.UPSETS else rng.choice(lexicon.UPSETS),
        "weather": rng.choice(lexicon.WEATHERS),
        "day": rng.choice(lexicon.DAYS),
        "food": rng.choice(world.kinds["food"]),
    }
    if word:
        words[slot_of(word)] = word
    if world.kind_of.get(first) == "animal":
        words |= {r: world.value(first, r) for r in ("eats", "size", "colour")}
        words["meal"] = words["eats"]
    return words


def slot_of(word: str) -> str:
    """The slot that a required word fills."""
    for slot, group in (("mood", lexicon.MOODS), ("thing", lexicon.THINGS), ("weather", lexicon.WEATHERS)):
        if word in group:
            return slot
    return "place"


def _extend(
    known: Grammar, rng: random.Random, out: list[str], role: str, words: Mapping[str, str], needs: Sequence[str] = ()
) -> None:
    """Append one new sentence of a role, with fresh moods and weather, if there is one."""
    forms = known.by_role[role]
    if not (out and _about_one(known, out[-1], words["x"])):
        forms = [f for f in forms if "p" not in f.slots or "x" in f.slots]
    for _ in range(4):
        text = known.pick(rng, forms, words, needs)
        if text is not None and text not in out:
            out.append(text)
            return


def _about_one(known: Grammar, sentence: str, hero: str) -> bool:
    """Whether "he", "she" or "it" after this sentence can only be the hero."""
    parsed = known.parse(sentence)
    return parsed is not None and parsed.bindings.get("x") == hero and "y" not in parsed.bindings


def _strange(world: World, rng: random.Random, cast: Sequence[str]) -> str:
    kind = rng.choice(("animal", "person"))
    return rng.choice([e for e in world.kinds[kind] if e not in cast])


def story(world: World, need: Requirement, rng: random.Random, previous: str = "") -> list[str]:
    """Sentences of a story: whole, short, what happened next, or an end."""
    known = grammar(world)
    cast = need["cast"]
    first = cast[0]
    second = cast[1] if len(cast) > 1 else _strange(world, rng, cast)
    low, high = need["sentences"]
    count = rng.randint(low, min(high, low + 3))
    words = words_for(world, rng, first, second, need["place"], need["word"])
    swapped = {**words_for(world, rng, second, first, words["place"], need["word"]), "thing": words["thing"]}
    out: list[str] = []
    needs = [slot_of(need["word"])] if need["word"] else []
    if need["flow"] in ("whole", "short"):
        _extend(known, rng, out, "open", words, ["place"] if need["place"] else ["x"])
        if len(cast) > 1 and second not in out[0].lower() and count > 1:
            _extend(known, rng, out, "meet", words, ["y"])
        elif rng.random() < 0.5 and count > 3:
            _extend(known, rng, out, "meet", words)
    closing = need["flow"] in ("whole", "end") or rng.random() < 0.5
    missing = bool(need["word"]) and need["word"] not in " ".join(out)
    while len(out) < count - closing:
        before = len(out)
        turned = rng.random() < 0.35 and len(cast) > 1
        mood = words["mood"] if need["word"] in lexicon.MOODS else rng.choice(lexicon.MOODS)
        chosen = {**(swapped if turned else words), "mood": mood}
        role = "act" if need["flow"] != "short" else "end"
        _extend(known, rng, out, role, chosen, needs if missing else ())
        missing = missing and need["word"] not in out[-1]
        if len(out) == before:
            break
    if closing:
        _extend(known, rng, out, "end", words, needs if missing else ())
    return out


def diary(world: World, need: Requirement, rng: random.Random, previous: str = "") -> list[str]:
    """A day of the persona in the first person."""
    known = grammar(world)
    me = need["persona"]
    other = need["cast"][0] if need["cast"] else _strange(world, rng, [me])
    low, high = need["sentences"]
    count = rng.randint(low, min(high, low + 3))
    words = {**words_for(world, rng, me, other, need["place"], need["word"]), "x": "", "i": "i"}
    if world.kind_of[me] != "animal":
        words.pop("meal", None)
    out: list[str] = []
    if not need["new"]:
        _extend(known, rng, out, "diary-open", words, ["place"])
        _extend(known, rng, out, "diary-meet", words)
    while len(out) < count - 1:
        before = len(out)
        _extend(known, rng, out, "diary-act", {**words, "mood": rng.choice(lexicon.MOODS)})
        if len(out) == before:
            break
    _extend(known, rng, out, "diary-end", words)
    return out


def letter(world: World, need: Requirement, rng: random.Random, previous: str = "") -> list[str]:
    """A letter about a word (a thing or a place)."""
    known = grammar(world)
    words = words_for(world, rng, need["sender"], need["receiver"], "", need["word"])
    low, high = need["sentences"]
    count = rng.randint(low, min(high, low + 3))
    out: list[str] = []
    _extend(known, rng, out, "letter-dear", words)
    _extend(known, rng, out, "letter-body", words, [slot_of(need["word"])])
    while len(out) < count - 1:
        _extend(known, rng, out, "letter-body", {**words, "mood": rng.choice(lexicon.MOODS)})
    _extend(known, rng, out, "letter-sign", words)
    return out


def scene(world: World, need: Requirement, rng: random.Random, previous: str = "") -> list[str]:
    """A place in its weather: what one sees there, and what it is like."""
    known = grammar(world)
    place = need["place"]
    visitor = rng.choice(world.having("animal", "home", place) or list(world.kinds["animal"]))
    words = words_for(world, rng, visitor, "", place, need["word"])
    low, high = need["sentences"]
    count = rng.randint(low, min(high, low + 3))
    out: list[str] = []
    _extend(known, rng, out, "scene", words, ["weather", "place"])
    facts = world.statements(place)
    rng.shuffle(facts)
    while len(out) < count:
        if facts and rng.random() < 0.45:
            text = say(world, [facts.pop()], rng)
            if text is not None:
                out.append(text)
        else:
            _extend(known, rng, out, "scene", words)
    return out
