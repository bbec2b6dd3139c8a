"""The kinds of text that the base model reads: each function draws one text of its kind."""

from __future__ import annotations

import random
from collections.abc import Callable

from ropo_bench.pocket import lexicon, tales
from ropo_bench.pocket.answers import express, steps
from ropo_bench.pocket.draws import alike, persona, task_items
from ropo_bench.pocket.grammar import grammar, say
from ropo_bench.pocket.lexicon import NUMBERS
from ropo_bench.pocket.patterns import SHARED
from ropo_bench.pocket.phrases import SITUATIONS, TASKS
from ropo_bench.pocket.quiz import PLAIN_QUESTIONS
from ropo_bench.pocket.templates import enumerate_words, two_heroes, upper
from ropo_bench.pocket.world import Statement, World


def _entity(world: World, rng: random.Random) -> str:
    return rng.choice(list(world.kind_of))


def named(world: World, entity: str) -> str:
    """ "Anna" or "the fox"."""
    return entity.capitalize() if world.kind_of[entity] == "person" else f"the {entity}"


def _description(world: World, rng: random.Random) -> str:
    """All or some facts about one entity."""
    entity = _entity(world, rng)
    facts = world.statements(entity)
    rng.shuffle(facts)
    facts = facts[: rng.randint(2, len(facts))]
    out: list[str] = []
    while facts:
        taken = 2 if len(facts) > 1 and rng.random() < 0.4 else 1
        pronoun = bool(out) and rng.random() < 0.6
        text = say(world, facts[:taken], rng, pronoun=pronoun)
        if text is None:
            taken, text = 1, say(world, facts[:1], rng, pronoun=pronoun) or say(world, facts[:1], rng)
        assert text is not None
        out.append(text)
        facts = facts[taken:]
    if rng.random() < 0.2:
        out.insert(0, _kind(world, entity, rng))
    return " ".join(part for part in out if part)


def _kind(world: World, entity: str, rng: random.Random) -> str:
    words = {"x": entity, "kind": world.kind_of[entity]}
    return grammar(world).pick(rng, grammar(world).by_role["kind"], words) or ""


def _questions(world: World, rng: random.Random) -> str:
    """One to three plain questions about one entity, with short answers."""
    entity = _entity(world, rng)
    relations = list(world.relations(entity))
    rng.shuffle(relations)
    parts = []
    for relation in relations[: rng.randint(1, 3)]:
        text = rng.choice(PLAIN_QUESTIONS[relation]).format(x=named(world, entity))
        parts.append(f"Question: {text} Answer: {world.value(entity, relation)}.")
    return "\n".join(parts)


def _listing(world: World, rng: random.Random) -> str:
    """Entities that share a value."""
    kind, relation, _ = rng.choice(SHARED)
    value = world.value(rng.choice(world.kinds[kind]), relation)
    suited = world.having(kind, relation, value)
    rng.shuffle(suited)
    known = grammar(world)
    role, number = ("all", 3) if len(suited) > 2 else ("both", 2)
    if len(suited) < 2:
        return say(world, [Statement(relation, suited[0], value)], rng) or ""
    bindings = {relation: value} | {f"x{i}": e for i, e in enumerate(suited[:number], 1)}
    return known.pick(rng, known.by_role[role], bindings) or ""


def _comparison(world: World, rng: random.Random) -> str:
    """Two of a kind beside each other."""
    known = grammar(world)
    if rng.random() < 0.4:
        a, b = rng.sample(world.kinds["animal"], 2)
        words = {"x1": a, "x2": b, "size1": world.value(a, "size"), "size2": world.value(b, "size")}
        parts = []
        if not alike(world, a, b) or "size" not in alike(world, a, b):
            claim = Statement("bigger", a, b)
            big, small = (a, b) if world.holds(claim) else (b, a)
            name = rng.choice((Statement("bigger", big, small), Statement("smaller", small, big)))
            parts.append(express(known, name, rng) or "")
            parts.append(known.pick(rng, known.by_role["compare"], words) or "")
        return " ".join(parts) or _description(world, rng)
    kind = rng.choice(("animal", "food", "tool", "plant", "person"))
    a, b = rng.sample(world.kinds[kind], 2)
    parts = []
    for relation in rng.sample(world.relations(a), 2):
        va, vb = world.value(a, relation), world.value(b, relation)
        role = "both" if va == vb else "contrast"
        forms = known.by_relations.get((role, kind, frozenset([relation])), [])
        words = {"x1": a, "x2": b, f"{relation}1": va, f"{relation}2": vb, relation: va}
        parts.append(known.pick(rng, forms, words) or "")
    return " ".join(part for part in parts if part)


def _arithmetic(world: World, rng: random.Random) -> str:
    """A few sums, or counting up or down."""
    if rng.random() < 0.15:
        start = rng.randint(0, 14)
        counted = NUMBERS[start : start + rng.randint(3, 7)]
        return upper(", ".join(counted if rng.random() < 0.5 else counted[::-1])) + "."
    parts: list[str] = []
    while len(parts) < 3:
        operation = rng.choice(("plus", "plus", "minus", "minus", "times", "more"))
        a, b = rng.randint(0, 20), rng.randint(0, 20)
        result = {"plus": a + b, "minus": a - b, "times": a * b, "more": 0}[operation]
        if (operation == "more" and a > b) or (operation != "more" and 0 <= result <= 20):
            value = "" if operation == "more" else NUMBERS[result]
            claim = Statement(operation, f"{NUMBERS[a]} {NUMBERS[b]}", value)
            parts.append(express_sum(world, claim, rng))
    return " ".join(parts)


def express_sum(world: World, claim: Statement, rng: random.Random) -> str:
    """A sum or comparison of numbers as a sentence."""
    known = grammar(world)
    a, b = claim.subject.split()
    forms = [f for f in known.by_role["sum"] if f.meaning[0][0] == claim.relation]
    return known.pick(rng, forms, {"a": a, "b": b, "c": claim.value}) or ""


def _story(world: World, rng: random.Random) -> str:
    first, second = two_heroes(world, rng)
    cast = [first, second] if rng.random() < 0.7 else [first]
    place = rng.choice(world.kinds["place"])
    need = {"cast": cast, "place": place, "word": "", "flow": "whole", "sentences": [3, 7]}
    return " ".join(tales.story(world, need, rng))


def _diary(world: World, rng: random.Random) -> str:
    """Somebody speaks of himself: who he is, or his day."""
    if rng.random() < 0.5:
        me = persona(world, rng)
        facts = world.statements(me)
        rng.shuffle(facts)
        own = [Statement("self", me, me), *facts[: rng.randint(1, 4)]]
        return " ".join(say(world, [fact], rng, role="voice") or "" for fact in own)
    me, other = two_heroes(world, rng)
    need = {
        "persona": me,
        "cast": [other],
        "place": rng.choice(world.kinds["place"]),
        "word": "",
        "new": False,
        "sentences": [3, 6],
    }
    return " ".join(tales.diary(world, need, rng))


def _letter(world: World, rng: random.Random) -> str:
    sender, receiver = rng.sample(world.kinds["person"], 2)
    need = {"sender": sender, "receiver": receiver, "word": rng.choice(lexicon.THINGS), "sentences": [3, 6]}
    return " ".join(tales.letter(world, need, rng))


def _scene(world: World, rng: random.Random) -> str:
    place = rng.choice(world.kinds["place"])
    need = {"place": place, "word": rng.choice(lexicon.WEATHERS), "sentences": [2, 5]}
    return " ".join(tales.scene(world, need, rng))


def _procedure(world: World, rng: random.Random) -> str:
    """All steps of a task under a plain title."""
    task = rng.choice(list(TASKS))
    goal, _, order = TASKS[task]
    item = rng.choice(task_items(world, task))
    what = goal.replace("a {i}", f"{lexicon.article(item)} {item}").replace("{i}", item)
    kept = [step for i, step in enumerate(order) if i == 0 or rng.random() < 0.8]
    return f"To {what}. {' '.join(steps(grammar(world), kept, item, rng))}"


def _care(world: World, rng: random.Random) -> str:
    """A situation, the feeling, and what a friend does."""
    known = grammar(world)
    situation = rng.choice(list(SITUATIONS))
    name, friend = rng.sample(world.kinds["person"], 2)
    _, feeling, deeds = SITUATIONS[situation]
    words = {"x": name, "f": friend, "feeling": feeling, "thing": rng.choice(lexicon.THINGS)}
    parts = [known.pick(rng, [f for f in known.by_role["situation"] if f.kind == situation], words)]
    parts.append(known.pick(rng, known.by_role["feeling"], words))
    parts += [
        known.pick(rng, [f for f in known.by_role["deed"] if f.kind == deed], words)
        for deed in rng.sample(deeds, rng.randint(1, 2))
    ]
    return " ".join(part for part in parts if part)


def _small_text(world: World, rng: random.Random) -> str:
    """Small reports such as extraction reads, told twice in other words."""
    known = grammar(world)
    name, other = rng.sample(world.kinds["person"], 2)
    thing, thing2 = rng.sample(lexicon.THINGS, 2)
    colour, colour2 = rng.sample(world.values["colour"], 2)
    forms = [f for f in known.by_role["local"] if "c" in f.slots and "x" in f.slots]
    told = [
        known.pick(rng, forms, {"x": x, "o": o, "c": c})
        for x, o, c in ((name, thing, colour), (other, thing2, colour2))
    ]
    told.append(express(known, rng.choice((Statement("owns", name, thing), Statement("tint", thing2, colour2))), rng))
    return " ".join(part for part in told if part)


def _order(world: World, rng: random.Random) -> str:
    """Three people in an order."""
    more = rng.choice(list(lexicon.ORDERS))
    most, least = lexicon.ORDERS[more]
    a, b, c = rng.sample(world.kinds["person"], 3)
    claims = [Statement(more, a, b), Statement(more, b, c), Statement(most, a, ""), Statement(least, c, "")]
    return " ".join(express(grammar(world), claim, rng) or "" for claim in claims)


def _list(world: World, rng: random.Random) -> str:
    """A list and something done with it."""
    if rng.random() < 0.5:
        numbers = rng.sample(NUMBERS, rng.choice((3, 4)))
        ordered = sorted(numbers, key=NUMBERS.index)
        way, result = rng.choice((("from small to large", ordered), ("from large to small", ordered[::-1])))
        return f"Numbers: {', '.join(numbers)}. In order {way}: {', '.join(result)}."
    words = [rng.choice(world.kinds[rng.choice(("animal", "food", "tool", "place", "plant"))]) for _ in range(4)]
    kind = world.kind_of[words[0]]
    if rng.random() < 0.5:
        return f"Words: {', '.join(words)}. From the end: {', '.join(words[::-1])}."
    rng.shuffle(words)
    found = [w for w in words if world.kind_of[w] == kind]
    return f"Words: {', '.join(words)}. Each {kind} in it: {enumerate_words(found)}."


TEXTS: tuple[tuple[Callable[[World, random.Random], str], int], ...] = (
    (_description, 22),
    (_questions, 14),
    (_listing, 6),
    (_comparison, 8),
    (_arithmetic, 10),
    (_story, 12),
    (_diary, 7),
    (_letter, 3),
    (_scene, 3),
    (_procedure, 4),
    (_care, 3),
    (_small_text, 3),
    (_order, 2),
    (_list, 4),
)
