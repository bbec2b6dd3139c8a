"""The knowledge base of the pocket world: entities, their kinds, and one value per (entity, relation)."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from ropo_bench.pocket import lexicon


class Statement(NamedTuple):
    """One claim: a relation between a subject and a value (words of the world, lower case)."""

    relation: str
    subject: str
    value: str


@dataclass(frozen=True, eq=False)
class World:
    """A closed world: what is not among its facts is false.

    kinds: kind -> entities; kind_of: entity -> kind; facts: (entity, relation) -> value;
    values: relation -> all values that occur; women: the people called "she".
    """

    seed: int
    kinds: Mapping[str, tuple[str, ...]]
    kind_of: Mapping[str, str]
    facts: Mapping[tuple[str, str], str]
    values: Mapping[str, tuple[str, ...]]
    women: frozenset[str]

    def relations(self, entity: str) -> tuple[str, ...]:
        """The relations that an entity has, in the order of the tables."""
        return lexicon.COLUMNS[self.kind_of[entity]]

    def value(self, entity: str, relation: str) -> str:
        """The value of a relation; KeyError where the entity has none."""
        return self.facts[entity, relation]

    def statements(self, entity: str) -> list[Statement]:
        """All facts about one entity."""
        return [Statement(r, entity, self.facts[entity, r]) for r in self.relations(entity)]

    def having(self, kind: str, relation: str, value: str) -> list[str]:
        """The entities of one kind with this value."""
        return [e for e in self.kinds[kind] if self.facts[e, relation] == value]

    def holds(self, statement: Statement) -> bool | None:
        """Whether a claim about the world is true; None where it is none of the world's business."""
        relation, subject, value = statement
        if relation == "kind":
            return self.kind_of.get(subject) == value
        if relation in ("bigger", "smaller"):
            first, second = (self.facts.get((e, "size"), "") for e in (subject, value))
            if not first or not second:
                return False
            difference = lexicon.SIZES.index(first) - lexicon.SIZES.index(second)
            return difference > 0 if relation == "bigger" else difference < 0
        if relation in self.values:
            return self.facts.get((subject, relation)) == value
        return arithmetic_holds(statement)

    def pronoun(self, entity: str) -> str:
        """he, she or it."""
        if self.kind_of.get(entity) != "person":
            return "it"
        return "she" if entity in self.women else "he"


def arithmetic_holds(statement: Statement) -> bool | None:
    """Whether a claim such as ("plus", "three four", "seven") is true; None for other relations."""
    relation, subject, value = statement
    if relation not in ("plus", "minus", "times", "more"):
        return None
    number = lexicon.NUMBERS.index
    left, right = (number(word) for word in subject.split())
    if relation == "more":
        return left > right
    result = {"plus": left + right, "minus": left - right, "times": left * right}[relation]
    return number(value) == result


def _rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


def _people(rng: random.Random) -> list[list[str]]:
    """One row a person; the jobs are dealt out evenly, the rest is drawn."""
    names = sorted(lexicon.WOMEN + lexicon.MEN)
    jobs = [row[0] for row in _rows(lexicon.JOBS)]
    foods = [row[0] for row in _rows(lexicon.FOODS)]
    dealt = [jobs[i % len(jobs)] for i in range(len(names))]
    rng.shuffle(dealt)
    rows = []
    for name, job in zip(names, dealt, strict=True):
        choices = (rng.choice(v) for v in (lexicon.TOWNS, foods, lexicon.PETS, lexicon.TRAITS))
        rows.append([name, job, *choices])
    return rows


@lru_cache(maxsize=4)
def build_world(seed: int = 0) -> World:
    """The world of a seed: nature is the same in all, the lives of its people are drawn from the seed."""
    tables = {
        "animal": _rows(lexicon.ANIMALS),
        "food": _rows(lexicon.FOODS),
        "tool": _rows(lexicon.TOOLS),
        "place": _rows(lexicon.PLACES),
        "plant": _rows(lexicon.PLANTS),
        "job": _rows(lexicon.JOBS),
        "person": _people(random.Random(f"people {seed}")),
    }
    kind_of: dict[str, str] = {}
    facts: dict[tuple[str, str], str] = {}
    values: dict[str, list[str]] = {}
    for kind, rows in tables.items():
        for entity, *columns in rows:
            assert entity not in kind_of, entity
            kind_of[entity] = kind
            for relation, value in zip(lexicon.COLUMNS[kind], columns, strict=True):
                facts[entity, relation] = value
                if value not in values.setdefault(relation, []):
                    values[relation].append(value)
    return World(
        seed=seed,
        kinds=MappingProxyType({kind: tuple(row[0] for row in rows) for kind, rows in tables.items()}),
        kind_of=MappingProxyType(kind_of),
        facts=MappingProxyType(facts),
        values=MappingProxyType({relation: tuple(v) for relation, v in values.items()}),
        women=frozenset(lexicon.WOMEN),
    )


def world_hash(world: World) -> str:
    """Sha256 (hex) of everything that the world holds."""
    facts = sorted([entity, relation, value] for (entity, relation), value in world.facts.items())
    content = {
        "kinds": {k: list(v) for k, v in world.kinds.items()},
        "facts": facts,
        "women": sorted(world.women),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
