"""Larger prompt sets for what needs more precision than the shipped splits give: the splits, and new prompts.

The splits are dealt once and for all (weights, pairs and results hang on them), so the new prompts come after: draws
that no split has, and the third of the preference prompts that no pair was made of, which small templates need.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Literal, get_args

from ropo_bench.pocket.catalogue import TEMPLATES
from ropo_bench.pocket.instructions import SPLITS, Instruction, Split, instructions, make
from ropo_bench.pocket.templates import CATEGORIES, Entities, Template
from ropo_bench.pocket.world import World

LargerSet = Literal["arena-large", "validation-large"]
LARGER_SETS: tuple[LargerSet, ...] = get_args(LargerSet)
BEGINS_WITH: dict[LargerSet, Split] = {"arena-large": "arena", "validation-large": "validation"}
# Instructions a category that are added, dealt in this order; the last came when the rest was in use.
ADDED: tuple[tuple[LargerSet, int], ...] = (("arena-large", 130), ("validation-large", 40), ("arena-large", 60))
MOST_DRAWS = 100
TRIES = 1_000
SPENT_IN_THREE = 2


def spends(number: int) -> bool:
    """Whether pairs are made of the preference prompt with this number: two in three, what one epoch may take."""
    return number % (SPENT_IN_THREE + 1) != 0


def larger_set(world: World, name: LargerSet) -> list[Instruction]:
    """The split's instructions in their order, then the new ones, always the same."""
    return [*instructions(world, BEGINS_WITH[name]), *_added(world)[name]]


@lru_cache(maxsize=4)
def _added(world: World) -> dict[LargerSet, tuple[Instruction, ...]]:
    """Dealt as the splits are: template by template within a category, so that all are asked alike."""
    dealt = {split: instructions(world, split) for split in SPLITS}
    taken = {_item(row.template, row.entities) for rows in dealt.values() for row in rows}
    unspent = [row for number, row in enumerate(dealt["preference"]) if not spends(number)]
    pools = {
        template.id: [
            *(row for row in unspent if row.template == template.id),
            *(make(world, template, entities) for entities in _draws(world, template, taken)),
        ]
        for template in TEMPLATES
    }
    added: dict[LargerSet, tuple[Instruction, ...]] = dict.fromkeys(LARGER_SETS, ())
    for name, count in ADDED:
        added[name] += tuple(_deal(pools, count))
    return added


def _item(template: str, entities: Entities) -> tuple[str, ...]:
    """What makes two instructions the same item, whatever the order of their entities."""
    return (template, *sorted(entities))


def _draws(world: World, template: Template, taken: set[tuple[str, ...]]) -> list[Entities]:
    """Up to MOST_DRAWS draws that no split has."""
    rng = random.Random(f"{world.seed} {template.id} larger")
    drawn: dict[tuple[str, ...], Entities] = {}
    for _ in range(TRIES):
        entities = template.draw(world, rng)
        if entities is not None and len(drawn) < MOST_DRAWS and _item(template.id, entities) not in taken:
            drawn.setdefault(_item(template.id, entities), entities)
    return list(drawn.values())


def _deal(pools: dict[str, list[Instruction]], count: int) -> list[Instruction]:
    """So many instructions a category from its templates in turn, new draws first; pools lose what is dealt."""
    dealt: list[Instruction] = []
    for category in CATEGORIES:
        names = [template.id for template in TEMPLATES if template.category == category]
        wanted = len(dealt) + count
        while len(dealt) < wanted and any(pools[name] for name in names):
            for name in names:
                if pools[name] and len(dealt) < wanted:
                    dealt.append(pools[name].pop())
    return dealt
