"""Instructions of the pocket world, and the splits that keep evaluation apart from training."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from ropo_bench.pocket.catalogue import TEMPLATES
from ropo_bench.pocket.templates import CATEGORIES, Entities, Requirement, Template
from ropo_bench.pocket.world import World

Split = Literal["sft", "preference", "validation", "chat", "arena", "diversity"]
SPLITS: tuple[Split, ...] = get_args(Split)
# instructions per category; diversity takes from the templates with many good answers only.
SIZES: dict[Split, int] = {"chat": 10, "arena": 30, "validation": 25, "preference": 375}
NUM_DIVERSITY = 40
CANDIDATES = 900
# At least this share of a template's entities stays in sft, however few there are.
SFT_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Instruction:
    """Two user turns and what each answer has to meet (JSON, read by the grader).

    (template, entities) is what splits are disjoint by.
    """

    id: str
    category: str
    template: str
    entities: Entities
    turns: tuple[str, str]
    requirements: tuple[Requirement, Requirement]


def make(world: World, template: Template, entities: Entities, variant: int = 0) -> Instruction:
    """The instruction of a template for these entities; variants differ in paraphrase and follow-up."""
    name = f"{template.id}:{'-'.join(entities)}" + (f":{variant}" if variant else "")
    turns, requirements = template.make(world, entities, random.Random(f"{world.seed} {name}"))
    return Instruction(name, template.category, template.id, entities, turns, requirements)


def _candidates(world: World, template: Template, rng: random.Random) -> list[Entities]:
    """Up to CANDIDATES distinct draws, giving up after four times as many tries."""
    found: dict[Entities, None] = {}
    for _ in range(4 * CANDIDATES):
        if len(found) == CANDIDATES:
            break
        entities = template.draw(world, rng)
        if entities is not None:
            found[entities] = None
    return list(found)


@lru_cache(maxsize=4)
def _allotted(world: World) -> dict[Split, tuple[tuple[Template, Entities], ...]]:
    """(template, entities) of every split: each template's draws are dealt out, evaluation first."""
    pools: dict[str, list[Entities]] = {}
    for template in TEMPLATES:
        rng = random.Random(f"{world.seed} {template.id}")
        drawn = _candidates(world, template, rng)
        # One set of entities in another order is too near to be another item.
        pools[template.id] = list({tuple(sorted(entities)): entities for entities in drawn}.values())
        rng.shuffle(pools[template.id])
    kept = {template.id: int(SFT_SHARE * len(pools[template.id])) for template in TEMPLATES}
    splits: dict[Split, list[tuple[Template, Entities]]] = {split: [] for split in SPLITS}

    def deal(split: Split, templates: list[Template], count: int) -> None:
        while count and templates:
            for template in list(templates):
                if len(pools[template.id]) <= kept[template.id]:
                    templates.remove(template)
                elif count:
                    splits[split].append((template, pools[template.id].pop()))
                    count -= 1

    deal("diversity", [t for t in TEMPLATES if t.open], NUM_DIVERSITY)
    for split, count in SIZES.items():
        for category in CATEGORIES:
            deal(split, [t for t in TEMPLATES if t.category == category], count)
    splits["sft"] = [(t, entities) for t in TEMPLATES for entities in pools[t.id]]
    return {split: tuple(rows) for split, rows in splits.items()}


def instructions(world: World, split: Split) -> list[Instruction]:
    """The instructions of one split, always the same and in the same order."""
    return [make(world, template, entities) for template, entities in _allotted(world)[split]]
