"""Answers side by side, with their verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ropo_bench.report.sections.samples import Battle, gather, left_out
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.types import Score
from tests.report.stored_example import answer, grades, stored, task
from tests.stored_run import prompts_file


def battles(run: StoredRun) -> Sequence[Battle]:
    samples = gather(run)
    return () if samples is None else samples.battles


def test_verdicts_are_against_the_base_and_a_failed_grade_is_none(tmp_path: Path) -> None:
    prompts = prompts_file(tmp_path, 4)
    recipe = task("chat", "score", prompts=str(prompts), decoding={"max_new_tokens": 8})
    rows = {"SFT": [grades(5, 5, 5, 5)], "dpo": [grades(9, 5, 2, None), grades(1, 6, 2, 5)]}
    found = stored(tmp_path / "runs", recipe, rows)
    answer(found, recipe, {(m.row, m.seed): [[f"{m.row} {m.seed}"]] * 4 for m in found})
    sides = battles(found)
    assert left_out(found, gather(found)) is None
    verdicts = [[answer.verdict for answer in battle.answers] for battle in sides]
    assert verdicts == [[None, "won", "lost"], [None, "tie", "won"], [None, "lost", "lost"], [None, None, "tie"]]
    assert [battle.flipped for battle in sides] == [True, False, False, False]
    assert [battle.unscored for battle in sides] == [False, False, False, True]
    assert sides[0].winners(0) == ("dpo",)
    assert sides[0].winners(1) == ()
    assert (sides[0].category, sides[0].prompt, sides[0].answers[1].turns) == ("even", ("question 0?",), ("dpo 0",))


def test_against_a_fixed_opponent_the_base_has_a_verdict_too(tmp_path: Path) -> None:
    opponent = tmp_path / "opponent.json"
    opponent.write_text(json.dumps([{"instruction": f"question {i}?", "output": f"theirs {i}"} for i in range(2)]))
    prompts = str(prompts_file(tmp_path, 2))
    recipe = task("ae2", "win_rate", prompts=prompts, baseline=str(opponent), decoding={"max_new_tokens": 8})
    rows = {"SFT": [[Score("p0", "p0", "win_rate", 12.5), Score("p1", "p1", "win_rate", 50.0)]]}
    found = stored(tmp_path / "runs", recipe, rows)
    answer(found, recipe, {("SFT", 0): [["ours"], ["ours"]]})
    first, second = battles(found)
    assert (first.opponent, first.opponent_turns) == (str(opponent), ("theirs 0",))
    assert [first.answers[0].verdict, second.answers[0].verdict] == ["lost", "tie"]


def test_answers_of_other_seeds_are_left_out_where_they_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = task("chat", "score", prompts=str(prompts_file(tmp_path, 2)), decoding={"max_new_tokens": 8})
    found = stored(tmp_path / "runs", recipe, {"SFT": [grades(5, 5)], "dpo": [grades(9, 5), grades(1, 6)]})
    answer(found, recipe, {(m.row, m.seed): [["long"]] * 2 for m in found})
    monkeypatch.setattr("ropo_bench.report.sections.samples.MAX_CHARACTERS", 6 * len("long") - 1)
    sides, line = battles(found), left_out(found, gather(found))
    assert {answer.seed for battle in sides for answer in battle.answers} == {0}
    assert line == "answers of seeds other than 0, which would make this file too large"


def test_prompts_that_cannot_be_had_are_said(tmp_path: Path) -> None:
    recipe = task("chat", "score", prompts=str(tmp_path / "gone.jsonl"), decoding={"max_new_tokens": 8})
    found = stored(tmp_path, recipe, {"SFT": [grades(5, 5)]})
    answer(found, recipe, {("SFT", 0): [["a"], ["b"]]})
    sides, line = battles(found), left_out(found, gather(found))
    assert not sides
    assert line is not None
    assert line.startswith("chat: ")
    assert "gone.jsonl" in line
