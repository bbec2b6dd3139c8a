"""The pocket world's prompts as the harness reads them, with everything that the grader needs."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

from ropo_bench.errors import UsageError
from ropo_bench.pocket.instructions import instructions
from ropo_bench.pocket.larger import larger_set
from ropo_bench.pocket.world import build_world
from ropo_bench.types import Prompt

PromptSet = Literal["chat", "arena", "diversity", "validation", "preference", "arena-large", "validation-large"]


def pocket_prompts(name: PromptSet, seed: int = 0) -> list[Prompt]:
    """The prompts of one split or larger set; chat has two turns, the others the first turn only.

    Raises UsageError for a name that is none.
    """
    if name not in get_args(PromptSet):
        raise UsageError(f"prompts pocket:{name}: no such set; known: {', '.join(get_args(PromptSet))}")
    return list(_prompts(name, seed))


@lru_cache(maxsize=16)
def _prompts(name: PromptSet, seed: int) -> tuple[Prompt, ...]:
    num_turns, world = 2 if name == "chat" else 1, build_world(seed)
    match name:
        case "arena-large" | "validation-large":
            rows = larger_set(world, name)
        case _:
            rows = instructions(world, name)
    return tuple(
        Prompt(
            id=instruction.id,
            turns=instruction.turns[:num_turns],
            category=instruction.category,
            metadata={
                "requirements": list(instruction.requirements[:num_turns]),
                "template": instruction.template,
                "entities": list(instruction.entities),
            },
        )
        for instruction in rows
    )
