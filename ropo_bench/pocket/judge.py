"""The world's grader behind the door for gold judges (see scoring.gold)."""

from __future__ import annotations

from collections.abc import Sequence

from ropo_bench.pocket.grader import grade
from ropo_bench.pocket.world import build_world
from ropo_bench.types import Prompt


def grade_turns(prompt: Prompt, turns: Sequence[str]) -> list[float]:
    """A grade from 1 to 10 for each answer of a pocket prompt; a follow-up is graded knowing the answer before."""
    world, previous, grades = build_world(), "", []
    for requirement, answer in zip(prompt.metadata["requirements"], turns, strict=True):
        grades.append(grade(world, requirement, answer, previous).score)
        previous = answer
    return grades
