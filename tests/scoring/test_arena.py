"""Battles by an exact grader: symmetric, counted, length-aware."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.recipes.task import Column, Decoding, TaskRecipe
from ropo_bench.scoring.arena import preference, score
from ropo_bench.types import Completion, Prompt, Score

PROMPTS = [Prompt(name, ("hi",)) for name in ("a", "b", "c")]


def as_number(prompt: Prompt, turns: Sequence[str]) -> list[float]:
    return [float(turn.strip()) for turn in turns]


def recipe(**options: object) -> TaskRecipe:
    return TaskRecipe(
        name="arena",
        description="a test",
        prompts="x.jsonl",
        decoding=Decoding(max_new_tokens=8),
        scorer="arena",
        options={"grader": f"{__name__}:as_number", **options},
        columns=[Column(metric="win_rate", header="WR")],
    )


def answers(**texts: str) -> list[Completion]:
    return [Completion(name, 0, (text,), (len(text) * 2,)) for name, text in texts.items()]


OURS = answers(a="9", b="5   ", c="2")
THEIRS = answers(a="3  ", b="5", c="8")


def of(metric: str, scores: list[Score]) -> dict[str, Any]:
    return {one.item: one.value for one in scores if one.metric == metric}


def test_win_tie_loss() -> None:
    scores = score(recipe(), PROMPTS, OURS, THEIRS)
    assert of("win_rate", scores) == {"a": 100, "b": 50, "c": 0}
    assert of("length", scores) == {"a": 2, "b": 8, "c": 2}


def test_against_itself_every_prompt_is_a_tie() -> None:
    assert set(of("win_rate", score(recipe(), PROMPTS, OURS, OURS)).values()) == {50}


def test_sides_swapped_the_win_rates_add_to_100() -> None:
    one, other = score(recipe(), PROMPTS, OURS, THEIRS), score(recipe(), PROMPTS, THEIRS, OURS)
    assert all(of("win_rate", one)[p.id] + of("win_rate", other)[p.id] == 100 for p in PROMPTS)


def test_length_delta_is_baseline_minus_answer_in_characters() -> None:
    scores = score(recipe(), PROMPTS, OURS, THEIRS)
    deltas = {one.item: one.detail for one in scores if one.metric == "lc_win_rate_nodiff"}
    assert deltas == {"a": {"length_delta": 2}, "b": {"length_delta": -3}, "c": {"length_delta": 0}}


def test_frozen_difficulties_come_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "difficulty.json"
    path.write_text(json.dumps({"a": 0.5, "b": -1.0, "c": 0.25, "unused": 3.0}))
    scores = score(recipe(difficulties=str(path)), PROMPTS, OURS, THEIRS)
    found = {one.item: one.detail["difficulty"] for one in scores if one.metric == "lc_win_rate"}
    assert found == {"a": 0.5, "b": -1.0, "c": 0.25}
    assert of("lc_win_rate_nodiff", scores) == {}


def test_a_prompt_without_difficulty_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "difficulty.json"
    path.write_text(json.dumps({"a": 0.5}))
    with pytest.raises(UsageError, match="none for prompt 'b' and 1 more"):
        score(recipe(difficulties=str(path)), PROMPTS, OURS, THEIRS)
    with pytest.raises(UsageError, match="cannot be read"):
        score(recipe(difficulties=str(tmp_path / "absent.json")), PROMPTS, OURS, THEIRS)


@pytest.mark.parametrize(("ours", "theirs"), [(OURS[:2], THEIRS), (OURS, THEIRS[:2])])
def test_a_missing_answer_on_either_side_is_unscored(ours: list[Completion], theirs: list[Completion]) -> None:
    scores = score(recipe(), PROMPTS, ours, theirs)
    lost = [one for one in scores if one.value is None]
    assert {(one.item, one.metric) for one in lost} == {("c", "win_rate"), ("c", "lc_win_rate_nodiff")}
    assert {one.status for one in lost} == {"infrastructure-failed"}


def test_ties_within_the_margin() -> None:
    assert preference(5.04, 5.0, 0.05) == 0.5
    assert preference(5.06, 5.0, 0.05) == 1.0
    assert preference(5.0, 5.06, 0.05) == 0.0
    assert preference(5.0, 5.0, 0.0) == 0.5
