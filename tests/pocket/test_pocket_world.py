"""The world is what its tables say, and the same every time."""

from __future__ import annotations

import os
import subprocess
import sys

from ropo_bench.pocket import lexicon
from ropo_bench.pocket.world import Statement, build_world, world_hash

WORLD = build_world()


def test_worked_facts() -> None:
    assert WORLD.holds(Statement("eats", "fox", "mice"))
    assert WORLD.holds(Statement("eats", "fox", "honey")) is False
    assert WORLD.holds(Statement("bigger", "whale", "ant"))
    assert WORLD.holds(Statement("bigger", "ant", "whale")) is False
    assert WORLD.holds(Statement("bigger", "ant", "bee")) is False  # both tiny
    assert WORLD.holds(Statement("kind", "hammer", "tool"))
    assert WORLD.holds(Statement("plus", "three four", "seven"))
    assert WORLD.holds(Statement("minus", "three four", "seven")) is False
    assert WORLD.holds(Statement("more", "nine two", ""))
    assert WORLD.holds(Statement("greet", "i", "anna")) is None


def test_size() -> None:
    assert 200 <= len(WORLD.kind_of) <= 300
    assert all(len(WORLD.relations(entity)) <= 6 for entity in WORLD.kind_of)


def test_every_relation_has_four_values_to_choose_from() -> None:
    for kind, relations in lexicon.COLUMNS.items():
        for relation in relations:
            assert len({WORLD.value(e, relation) for e in WORLD.kinds[kind]}) >= 4, (kind, relation)


def test_seed_moves_people_only() -> None:
    other = build_world(1)
    changed = {entity for (entity, r), value in other.facts.items() if WORLD.value(entity, r) != value}
    assert changed
    assert {WORLD.kind_of[entity] for entity in changed} == {"person"}
    assert world_hash(other) != world_hash(WORLD)


def test_same_hash_whatever_the_hash_seed() -> None:
    code = "from ropo_bench.pocket.world import *; print(world_hash(build_world()))"
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert found == [world_hash(WORLD)] * 2
