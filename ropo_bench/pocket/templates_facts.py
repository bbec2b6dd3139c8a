"""Extraction and stem: facts out of a small text, and facts of nature."""

from __future__ import annotations

import random
from typing import Any

from ropo_bench.pocket.forms import plural_kind
from ropo_bench.pocket.lexicon import NUMBERS
from ropo_bench.pocket.templates import (
    Entities,
    Made,
    answer,
    article,
    fact,
    name_one,
    noun,
    question,
    require,
    states,
    upper,
)
from ropo_bench.pocket.world import Statement, World


def owns(world: World, entities: Entities, rng: random.Random) -> Made:
    """Who has what, and in which colour."""
    n1, c1, t1, n2, c2, t2 = entities
    local = [["owns", n1, t1], ["owns", n2, t2], ["tint", t1, c1], ["tint", t2, c2]]
    text = f"{n1.capitalize()} has {article(c1)} {t1}. {n2.capitalize()} has {article(c2)} {t2}. "
    who, what = rng.choice(((n1, t1), (n2, t2)))
    other, tint = (t2, c2) if who == n1 else (t1, c1)
    if rng.random() < 0.5:
        ask, said = f"Who has the {what}?", [Statement("owns", who, what), answer(who)]
    else:
        ask, said = f"What does {who.capitalize()} have?", [Statement("owns", who, what)]
    follow = rng.choice((f"And what colour is the {other}?", f"What is the colour of the {other}?"))
    return (text + ask, follow), (
        states(said, local=local, high=2),
        states([Statement("tint", other, tint)], local=local, high=2),
    )


def went(world: World, entities: Entities, rng: random.Random) -> Made:
    """Who went where, and when."""
    n1, p1, d1, n2, p2, d2 = entities
    local = [["went", n1, p1], ["went", n2, p2], ["day", n1, d1], ["day", n2, d2]]
    trips = ((d1, n1, p1), (d2, n2, p2))
    text = "".join(f"On {d.capitalize()}, {n.capitalize()} went to the {p}. " for d, n, p in trips)
    first = rng.random() < 0.5
    who, where, other, day = (n1, p1, n2, d2) if first else (n2, p2, n1, d1)
    follow = f"And when did {other.capitalize()} go?"
    need = states([Statement("went", who, where)], local=local, high=2)
    return (f"{text}Where did {who.capitalize()} go?", follow), (
        need,
        states([Statement("day", other, day), Statement("on", "", day)], local=[*local, ["on", "", day]], high=2),
    )


def bought(world: World, entities: Entities, rng: random.Random) -> Made:
    """Who bought how much, and where."""
    name, number, thing, place, number2, thing2, name2 = entities
    who, other = name.capitalize(), name2.capitalize()
    local = [
        ["bought", name, f"{number} {thing}"],
        ["at", name, place],
        ["bought", name2, f"{number2} {thing2}"],
    ]
    text = f"{who} was in the {place} and bought {number} {thing}. {other} bought {number2} {thing2}. "
    said = [Statement(*local[0])]
    ask = rng.choice((f"How many {thing} did {who} buy?", f"What did {who} buy?"))
    if ask.startswith("How"):
        said.append(answer(number))
    follow = rng.choice((f"And where was {who}?", f"What did {other} buy?"))
    second = (
        [Statement("at", name, place), Statement("went", name, place)]
        if "where" in follow
        else [Statement(*local[2])]
    )
    local.append(["went", name, place])
    return (text + ask, follow), (states(said, local=local, high=2), states(second, local=local, high=2))


def saw(world: World, entities: Entities, rng: random.Random) -> Made:
    """Who saw what."""
    n1, a, b, n2, c = entities
    local = [["saw", n1, a], ["saw", n1, b], ["saw", n2, c]]
    text = f"{n1.capitalize()} saw the {a} and the {b}. {n2.capitalize()} saw the {c}. "
    follow = f"And what did {n2.capitalize()} see?"
    need = states([Statement("saw", n1, a)], [Statement("saw", n1, b)], local=local, high=2)
    return (f"{text}What did {n1.capitalize()} see?", follow), (
        need,
        states([Statement("saw", n2, c)], local=local, high=2),
    )


def nature_two(world: World, entities: Entities, rng: random.Random) -> Made:
    """Two questions about one thing, then a third."""
    entity, one, two = entities
    text = (
        upper(question(world, entity, one))
        + rng.choice((", and ", " and "))
        + question(world, entity, two, pronoun=True)
        + "?"
    )
    third = rng.choice([r for r in world.relations(entity) if r not in (one, two)])
    follow = rng.choice(
        (
            f"And {question(world, entity, third, pronoun=True)}?",
            upper(question(world, entity, third, pronoun=True)) + "?",
        )
    )
    need = states([fact(world, entity, one)], [fact(world, entity, two)], subject=entity)
    return (text, follow), (need, states([fact(world, entity, third)], subject=entity))


def nature_facts(world: World, entities: Entities, rng: random.Random) -> Made:
    """Some facts about a thing, then one more."""
    entity, number = entities
    count = NUMBERS.index(number)
    name = noun(world, entity)
    text = rng.choice(
        (
            f"Tell me {number} facts about {name}.",
            f"Give me {number} true things about {name}.",
            f"What are {number} facts about {name}?",
        )
    )
    fields: dict[str, Any] = {"subject": entity, "persona": "", "asked": [], "greet": ""}
    follow = rng.choice(("Tell me one more fact.", "What else do you know about it?"))
    return (text, follow), (
        require("about", 1, count + 2, least=count, new=False, **fields),
        require("about", 1, 2, least=1, new=True, **fields),
    )


def contrast(world: World, entities: Entities, rng: random.Random) -> Made:
    """In what two things differ."""
    a, b = entities
    x, y = noun(world, a), noun(world, b)
    text = rng.choice((f"How is {x} different from {y}?", f"What is the difference between {x} and {y}?"))
    relation = rng.choice(world.relations(a))
    follow = f"And {question(world, a, relation)}?"
    return (text, follow), (
        require("contrast", 1, 3, pair=[a, b], of=world.kind_of[a]),
        states([fact(world, a, relation)], subject=a),
    )


CLAUSES = {
    "eats": "eat {v}",
    "home": "live in the {v}",
    "colour": "are {v}",
    "size": "are {v}",
    "can": "can {v}",
    "taste": "taste {v}",
    "source": "come from the {v}",
    "kept": "are kept in the {v}",
    "material": "are made of {v}",
    "grows": "grow in the {v}",
    "season": "are best in {v}",
    "feel": "are {v}",
    "use": "are used to {v}",
    "likes": "like {v}",
    "works": "work as a {v}",
    "pet": "have a {v}",
    "trait": "are {v}",
}


def which(world: World, entities: Entities, rng: random.Random) -> Made:
    """Things that share a value, then another one."""
    kind, relation, value, number = entities
    count = NUMBERS.index(number)
    clause = CLAUSES[relation].format(v=value)
    plural = plural_kind(kind)
    text = rng.choice(
        (
            f"Name {number} {plural} that {clause}.",
            f"Which {number} {plural} {clause}?",
            f"List {number} {plural} that {clause}.",
        )
    )
    if count == 1:
        text = f"Name one of the {plural} that {clause}."
    follow = rng.choice(("Name another one.", "Can you name one more?"))
    return (text, follow), (
        name_one(kind, [[relation, value]], [], count),
        {**name_one(kind, [[relation, value]], []), "new": True},
    )
