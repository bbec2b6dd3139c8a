"""Reasoning and math: comparisons, orders, classes and small sums."""

from __future__ import annotations

import random
from typing import Any

from ropo_bench.pocket import lexicon
from ropo_bench.pocket.lexicon import NUMBERS, ORDERS
from ropo_bench.pocket.templates import (
    Entities,
    Made,
    Requirement,
    answer,
    article,
    enumerate_words,
    fact,
    name_one,
    noun,
    question,
    require,
    states,
)
from ropo_bench.pocket.world import Statement, World


def bigger(world: World, entities: Entities, rng: random.Random) -> Made:
    """Which of two animals is bigger or smaller, and why."""
    a, b, word = entities
    text = rng.choice((f"Which is {word}, the {a} or the {b}?", f"Of the {a} and the {b}, which one is {word}?"))
    order = lexicon.SIZES.index(world.value(a, "size")) > lexicon.SIZES.index(world.value(b, "size"))
    big, small = (a, b) if order else (b, a)
    right = big if word == "bigger" else small
    said = [Statement("bigger", big, small), Statement("smaller", small, big), answer(right)]
    said.append(Statement("bigone" if word == "bigger" else "smallone", "", right))
    if rng.random() < 0.5:
        follow = rng.choice(("Why?", "How do you know?"))
        return (text, follow), (states(said), states([fact(world, a, "size")], [fact(world, b, "size")]))
    wrong = small if word == "bigger" else big
    follow = rng.choice(
        (
            f"Name another animal that is {word} than the {wrong}.",
            f"Which other animal is {word} than the {wrong}?",
        )
    )
    return (text, follow), (states(said), name_one("animal", [[word, wrong]], [a, b]))


def odd(world: World, entities: Entities, rng: random.Random) -> Made:
    """Which one is of another kind, and why."""
    shown = [noun(world, e) for e in entities]
    kinds = [world.kind_of[e] for e in entities]
    odd = next(e for e, k in zip(entities, kinds, strict=True) if kinds.count(k) == 1)
    text = rng.choice(
        (
            f"Which one does not belong: {enumerate_words(shown)}?",
            f"Find the odd one: {enumerate_words(shown)}.",
        )
    )
    follow = rng.choice(("Why?", "How do you know?"))
    why = states([Statement("kind", odd, world.kind_of[odd])], subject=odd)
    return (text, follow), (states([answer(odd), Statement("odd", "", odd)], subject=odd), why)


def order(world: World, entities: Entities, rng: random.Random) -> Made:
    """Who is first and who is last of three."""
    *names, more = entities
    first, second, third = names
    facts = [Statement(more, first, second), Statement(more, second, third)]
    told = [f"{s.subject.capitalize()} is {more} than {s.value.capitalize()}." for s in facts]
    most, least = ORDERS[more]
    local = [
        list(s)
        for s in [
            *facts,
            Statement(more, first, third),
            Statement(most, first, ""),
            Statement(least, third, ""),
        ]
    ]
    one = states([Statement(most, first, ""), answer(first)], local=local)
    two = states([Statement(least, third, ""), answer(third)], local=local)
    order = told if rng.random() < 0.7 else told[::-1]
    return (f"{' '.join(order)} Who is the {most}?", f"And who is the {least}?"), (one, two)


def yes_no(world: World, entities: Entities, rng: random.Random) -> Made:
    """Whether a fact is true, and another animal that shares it."""
    entity, relation, value = entities
    claim = {
        "eats": f"Does the {entity} eat {value}?",
        "home": f"Does the {entity} live in the {value}?",
        "group": f"Is the {entity} {article(value)}?",
        "size": f"Is the {entity} {value}?",
        "colour": f"Is the {entity} {value}?",
        "can": f"Can the {entity} {value}?",
    }[relation]
    true = fact(world, entity, relation)
    word = "yes" if true.value == value else "no"
    text = rng.choice((claim, f"{claim} Say yes or no.", f"Think about it. {claim}"))
    shared = {"eats": "food", "can": "skill"}.get(relation, relation)
    follow = f"Name another animal with the same {shared}."
    if len(world.having("animal", relation, true.value)) < 2:
        relation2 = rng.choice([r for r in world.relations(entity) if r != relation])
        follow = f"And {question(world, entity, relation2, pronoun=True)}?"
        return (text, follow), (
            states([true], word=word, subject=entity),
            states([fact(world, entity, relation2)], subject=entity),
        )
    return (text, follow), (
        states([true], word=word, subject=entity),
        name_one("animal", [[relation, true.value]], [entity]),
    )


def same(world: World, entities: Entities, rng: random.Random) -> Made:
    """What two have in common, and in what they differ."""
    a, b = entities
    kind = world.kind_of[a]
    x, y = noun(world, a), noun(world, b)
    text = rng.choice(
        (
            f"What do {x} and {y} have in common?",
            f"How are {x} and {y} alike?",
            f"Say what is the same about {x} and {y}.",
        )
    )
    follow = rng.choice(("How are they different?", "And what is different?"))
    fields: dict[str, Any] = {"pair": [a, b], "of": kind}
    return (text, follow), (require("same", 1, 3, **fields), require("contrast", 1, 3, **fields))


def sums(world: World, entities: Entities, rng: random.Random) -> Made:
    """A sum, and one that goes on from its result."""
    a, operation, b = entities
    text = rng.choice(
        (
            f"What is {a} {operation} {b}?",
            f"How much is {a} {operation} {b}?",
            f"Work out {a} {operation} {b}.",
        )
    )
    i, j = NUMBERS.index(a), NUMBERS.index(b)
    result = {"plus": i + j, "minus": i - j, "times": i * j}[operation]
    one = states([answer(NUMBERS[result]), Statement(operation, f"{a} {b}", NUMBERS[result])])
    return _then(text, result, one, rng)


def _then(text: str, result: int, need: Requirement, rng: random.Random) -> Made:
    """A follow-up that goes on from the result."""
    change = rng.choice([c for c in (1, 2, 3, -1, -2, -3) if 2 <= result + c <= 20])
    word = NUMBERS[abs(change)]
    total = NUMBERS[result + change]
    operation = "plus" if change > 0 else "minus"
    follow = rng.choice(
        (f"Now add {word}.", f"And if you add {word}?")
        if change > 0
        else (f"Now take away {word}.", f"And if you take away {word}?")
    )
    said = [answer(total), Statement(operation, f"{NUMBERS[result]} {word}", total)]
    if "thing" in need:
        said += [
            Statement("count", need["subject"], f"{total} {need['thing']}"),
            Statement("total", "", f"{total} {need['thing']}"),
        ]
    return (text, follow), (need, states(said, **{k: need[k] for k in ("subject", "thing") if k in need}))


def count_story(world: World, entities: Entities, rng: random.Random) -> Made:
    """A sum told with people and things."""
    name, a, b, thing, way = entities
    i, j = NUMBERS.index(a), NUMBERS.index(b)
    who = name.capitalize()
    he = world.pronoun(name)
    text, result, operation = {
        "gets": (
            f"{who} has {a} {thing}. Then {he} gets {b} more. How many {thing} does {who} have now?",
            i + j,
            "plus",
        ),
        "gives": (
            f"{who} has {a} {thing}. Then {he} gives away {b}. How many {thing} are left?",
            i - j,
            "minus",
        ),
        "boxes": (
            f"{who} has {a} bags with {b} {thing} in each. How many {thing} are there?",
            i * j,
            "times",
        ),
    }[way]
    total = NUMBERS[result]
    said = [
        answer(total),
        Statement("count", name, f"{total} {thing}"),
        Statement("total", "", f"{total} {thing}"),
    ]
    said.append(Statement(operation, f"{a} {b}", total))
    return _then(text, result, states(said, subject=name, thing=thing, local=[["count", name, f"{a} {thing}"]]), rng)


def more(world: World, entities: Entities, rng: random.Random) -> Made:
    """Which of two numbers is larger, and by how much."""
    a, b = entities
    i, j = NUMBERS.index(a), NUMBERS.index(b)
    large, small = (a, b) if i > j else (b, a)
    text = rng.choice((f"Which number is larger, {a} or {b}?", f"What is more, {a} or {b}?"))
    said = states([answer(large), Statement("more", f"{large} {small}", "")])
    difference = NUMBERS[abs(i - j)]
    follow = rng.choice(("How much more is it?", "What is the difference?"))
    return (text, follow), (
        said,
        states([answer(difference), Statement("minus", f"{large} {small}", difference)]),
    )
