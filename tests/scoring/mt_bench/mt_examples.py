"""Prompts, tasks and answers that the tests of MT-Bench share; no text of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.load import load_task
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.judged import Material
from ropo_bench.types import Completion, JudgeAnswer, Prompt

JUDGE = JudgeRecipe(name="a-judge", description="a test", model="judge-1")
PROMPTS = [Prompt("81", ("Say hi.", "Say it {again}."), "writing"), Prompt("111", ("1 + 1?", "Twice that?"), "math")]
OURS = [Completion("81", 0, ("hi", "hi again"), (1, 2)), Completion("111", 0, ("2", "4"), (1, 1))]
THEIRS = [Completion("81", 0, ("hello", "hello {again}"), (1, 2)), Completion("111", 0, ("3", "6"), (1, 1))]


def task(name: str = "mt-bench", **options: Any) -> TaskRecipe:
    """A shipped task with other options."""
    recipe = load_task(name)
    return recipe.model_copy(update={"options": {**recipe.options, **options}})


def material(
    name: str = "mt-bench",
    ours: list[Completion] = OURS,
    theirs: list[Completion] = THEIRS,
    prompts: list[Prompt] = PROMPTS,
    **options: Any,
) -> Material:
    """What is judged."""
    return Material(task(name, **options), prompts, ours, theirs)


def said(texts: Mapping[str, str]) -> dict[str, JudgeAnswer]:
    """A judge's answers by item."""
    return {item: JudgeAnswer(text) for item, text in texts.items()}
