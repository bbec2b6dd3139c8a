"""The pocket world's prompts as the harness reads them, with everything that the grader needs."""

from __future__ import annotations

from typing import Literal

from ropo_bench.pocket.instructions import instructions
from ropo_bench.pocket.world import build_world
from ropo_bench.types import Prompt

PromptSet = Literal["chat", "arena", "diversity", "validation", "preference"]


def pocket_prompts(name: PromptSet, seed: int = 0) -> list[Prompt]:
    """The prompts of one split; chat has two turns, the others the first turn only."""
    num_turns = 2 if name == "chat" else 1
    return [
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
        for instruction in instructions(build_world(seed), name)
    ]
