"""The larger prompt sets are new prompts behind the splits' own, and nothing was trained on them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import cache

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.pocket.build import make as builder
from ropo_bench.pocket.instructions import SPLITS, Instruction, instructions
from ropo_bench.pocket.larger import ADDED, BEGINS_WITH, LARGER_SETS, LargerSet, larger_set, spends
from ropo_bench.pocket.prompts import pocket_prompts
from ropo_bench.pocket.templates import CATEGORIES
from ropo_bench.pocket.world import build_world
from ropo_bench.recipes.load import load_suite, load_task
from ropo_bench.sources.prompts import read_prompts
from ropo_bench.sources.shipped import POCKET_ASSETS

WORLD = build_world()


@cache  # seconds: not where tests are only collected
def new_rows() -> dict[LargerSet, list[Instruction]]:
    """What the larger sets have beyond their splits."""
    return {name: larger_set(WORLD, name)[len(instructions(WORLD, split)) :] for name, split in BEGINS_WITH.items()}


@pytest.mark.parametrize("name", LARGER_SETS)
def test_a_larger_set_begins_with_its_split(name: LargerSet) -> None:
    split, count = BEGINS_WITH[name], sum(number for other, number in ADDED if other == name)
    before = instructions(WORLD, split)
    assert larger_set(WORLD, name)[: len(before)] == before
    assert Counter(row.category for row in new_rows()[name]) == dict.fromkeys(CATEGORIES, count)
    assert [prompt.id for prompt in read_prompts(f"pocket:{name}")] == [row.id for row in larger_set(WORLD, name)]


def test_no_item_twice() -> None:
    rows = [row for name in LARGER_SETS for row in larger_set(WORLD, name)]
    assert len({row.id for row in rows}) == len({row.turns[0] for row in rows}) == len(rows)
    assert len({(row.template, tuple(sorted(row.entities))) for row in rows}) == len(rows)


def test_new_prompts_are_in_no_split_and_in_no_pair() -> None:
    new = {row.turns[0] for rows in new_rows().values() for row in rows}
    items = {(row.template, tuple(sorted(row.entities))) for rows in new_rows().values() for row in rows}
    for split in SPLITS:
        rows = instructions(WORLD, split)
        if split == "preference":  # of the others no pair was made
            rows = [row for number, row in enumerate(rows) if spends(number)]
            assert [row.id for row in rows] == [prompt.id for prompt in builder.pair_prompts()]
        assert not new & {turn for row in rows for turn in row.turns}
        assert not items & {(row.template, tuple(sorted(row.entities))) for row in rows}


@pytest.mark.slow
def test_the_base_model_never_read_a_new_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    new = {row.turns[0] for rows in new_rows().values() for row in rows}
    monkeypatch.setattr(builder, "NUM_INSTRUCTIONS", 5_000)  # the first of them: the others come from the same pool
    dialogues = [*builder.dialogues(WORLD), *builder.instructions(WORLD, 0)]
    assert len(dialogues) == builder.NUM_DIALOGUES + 5_000
    assert not new & {message["content"] for dialogue in dialogues for message in dialogue}


def test_the_splits_are_what_they_were() -> None:
    ids = {split: [row.id for row in instructions(WORLD, split)] for split in SPLITS}
    digest = hashlib.sha256(json.dumps(ids, sort_keys=True).encode()).hexdigest()
    assert digest == "59b3aaab7806dcc7fc9fe14b2816fd4afc8717bd0eaa14b06f3fff253ccbca8c"


@pytest.mark.parametrize(("task", "file"), builder.DIFFICULTIES.items())
def test_every_arena_prompt_has_a_frozen_difficulty(task: str, file: str) -> None:
    recipe = load_task(task)
    assert recipe.options["difficulties"] == f"pocket:{file}"
    difficulties = json.loads((POCKET_ASSETS / file).read_text())
    assert list(difficulties) == [prompt.id for prompt in read_prompts(recipe.prompts or "")]


def test_the_reference_suite_is_pocket_with_the_larger_arena() -> None:
    demo, reference = load_suite("pocket"), load_suite("pocket-reference")
    changed = {"name", "description", "tasks", "seeds", "primary"}
    assert demo.model_dump(exclude=changed) == reference.model_dump(exclude=changed)
    assert reference.tasks == [f"{task}-large" if task == "pocket-arena" else task for task in demo.tasks]


def test_an_unknown_set_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="pocket:aren: no such set; known: chat, arena"):
        pocket_prompts("aren")  # type: ignore[arg-type]
