from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.report.parts import categories, forgetting
from ropo_bench.report.samples import battles
from ropo_bench.report.texts import cut_to_shortest, diversity
from ropo_bench.report.trained import Shelf
from ropo_bench.runs.items import write_scores
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import RowRecord
from ropo_bench.store import Store
from ropo_bench.types import Completion, Score, Status
from tests.stored_run import prompts_file, record, request


def task(name: str, metric: str, **more: Any) -> TaskRecipe:
    fields = {"name": name, "description": name, "scorer": "graded-chat"}
    return TaskRecipe.model_validate(fields | {"columns": [{"metric": metric, "header": metric}]} | more)


def shelf(folder: Path, recipe: TaskRecipe, rows: Mapping[str, Sequence[Sequence[Score]]]) -> Shelf:
    """A shelf of one task: row -> one list of scores a seed, an empty one where it is not scored yet."""
    store = Store(folder)
    entries = []
    for row, seeds in rows.items():
        for seed, scores in enumerate(seeds):
            stage = store.stage("scores", f"{row}-{seed}")
            if scores:
                with stage.begin():
                    write_scores(stage, scores)
                    stage.finish({})
            entries.append(RowRecord(name=row, seed=seed, scores={recipe.name: stage.key}))
    asked = request([recipe.model_dump()], [row for row in rows if row != "SFT"])
    return Shelf(Run(store, "one", record(asked, entries)))


def answers(found: Shelf, recipe: TaskRecipe, texts: Mapping[tuple[str, int], Sequence[Sequence[str]]]) -> None:
    """Completions of (row, seed): for each prompt p0, p1 ... its samples."""
    for model in found:
        key = f"{model.row}-{model.seed}"
        model.record.completions[recipe.name] = key
        stage = found.run.store.stage("completions", key)
        with stage.begin():
            stage.finish({})
        found.run._completions[key] = [
            Completion(f"p{i}", sample, (text,), (len(text.split()),))
            for i, samples in enumerate(texts[model.row, model.seed])
            for sample, text in enumerate(samples)
        ]


def grades(*values: float | None, turn: int = 1) -> list[Score]:
    status: dict[bool, Status] = {True: "infrastructure-failed", False: "scored"}
    return [
        Score(f"p{i}:{turn}", f"p{i}", metric, value, status[value is None])
        for i, value in enumerate(values)
        for metric in ("score", f"score/{'odd' if i % 2 else 'even'}")
    ]


def test_a_category_is_measured_over_its_own_prompts(tmp_path: Path) -> None:
    recipe = task("chat", "score", prompts="p", decoding={"max_new_tokens": 8})
    found = categories(shelf(tmp_path, recipe, {"SFT": [grades(1, 2, 3, 4)], "dpo": [grades(5, 6, 7, 9), []]}))
    assert [(each.row, each.category, each.measurement.value, each.measurement.n) for each in found] == [
        ("SFT", "even", 2.0, 2),
        ("SFT", "odd", 3.0, 2),
    ]  # dpo waits for its second seed


def test_forgetting_is_the_difference_to_the_base_by_sub_task(tmp_path: Path) -> None:
    def scores(right: Mapping[str, Sequence[int]]) -> list[Score]:
        return [
            Score(f"{part}-{i}", f"{part}-{i}", metric, 100.0 * value)
            for part, values in right.items()
            for i, value in enumerate(values)
            for metric in ("accuracy", f"accuracy/{part}")
        ]

    rows = {"SFT": [scores({"a": [1, 1, 1, 0], "b": [1, 0]})], "dpo": [scores({"a": [1, 0, 0, 0], "b": [1, 1]})]}
    found = forgetting(shelf(tmp_path, task("facts", "accuracy"), rows))
    assert [(each.row, each.part, each.difference.estimate, each.difference.n) for each in found] == [
        ("dpo", "a", -50.0, 4),
        ("dpo", "b", 50.0, 2),
    ]


def test_forgetting_is_by_kind_of_question_where_there_are_no_sub_tasks(tmp_path: Path) -> None:
    def scores(*right: int) -> list[Score]:
        kinds = ("job", "job", "food", "food")
        pairs = enumerate(zip(right, kinds, strict=True))
        return [Score(f"q{i}", f"q{i}", "accuracy", 100.0 * value, detail={"kind": k}) for i, (value, k) in pairs]

    rows = {"SFT": [scores(1, 1, 0, 1)], "dpo": [scores(0, 1, 1, 1), scores(0, 1, 0, 1)]}
    found = forgetting(shelf(tmp_path, task("facts", "accuracy"), rows))
    assert {each.part: each.difference.estimate for each in found} == {"job": -50.0, "food": 25.0}


def test_answers_are_cut_to_the_shortest_at_their_place() -> None:
    a, b = ("p0", 0, 0), ("p0", 1, 0)
    rows = {
        "SFT": [{a: ["x", "y", "z"], b: ["one"]}],
        "dpo": [{a: ["u", "v"], b: ["two", "words"]}, {a: ["1", "2", "3", "4"]}],
    }
    assert cut_to_shortest(rows) == {"SFT": [{a: ["x", "y"]}], "dpo": [{a: ["u", "v"]}, {a: ["1", "2"]}]}
    assert cut_to_shortest({}) == {}


def test_matched_length_takes_the_penalty_of_long_answers_away(tmp_path: Path) -> None:
    recipe = task("diverse", "distinct_1", scorer="diversity", prompts="p", decoding={"max_new_tokens": 8})
    both = shelf(tmp_path, recipe, {"SFT": [[]], "dpo": [[]]})
    long = "a b c d a b c d"
    answers(both, recipe, {("SFT", 0): [["a b c d"], ["a b c d"]], ("dpo", 0): [[long], [long]]})
    found = {(each.row, each.n): each for each in diversity(both)}
    assert found["dpo", 1].whole.value == 50.0
    assert found["dpo", 1].matched.value == found["SFT", 1].matched.value == 100.0
    assert (found["dpo", 2].num_words, found["dpo", 2].whole_words) == (4.0, 8.0)


def test_verdicts_are_against_the_base_and_a_failed_grade_is_none(tmp_path: Path) -> None:
    prompts = prompts_file(tmp_path, 4)
    recipe = task("chat", "score", prompts=str(prompts), decoding={"max_new_tokens": 8})
    rows = {"SFT": [grades(5, 5, 5, 5)], "dpo": [grades(9, 5, 2, None), grades(1, 6, 2, 5)]}
    found = shelf(tmp_path / "runs", recipe, rows)
    answers(found, recipe, {(m.row, m.seed): [[f"{m.row} {m.seed}"]] * 4 for m in found})
    sides, left_out = battles(found)
    assert left_out == []
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
    found = shelf(tmp_path / "runs", recipe, rows)
    answers(found, recipe, {("SFT", 0): [["ours"], ["ours"]]})
    first, second = battles(found)[0]
    assert (first.opponent, first.opponent_turns) == (str(opponent), ("theirs 0",))
    assert [first.answers[0].verdict, second.answers[0].verdict] == ["lost", "tie"]


def test_answers_of_other_seeds_are_left_out_where_they_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = task("chat", "score", prompts=str(prompts_file(tmp_path, 2)), decoding={"max_new_tokens": 8})
    found = shelf(tmp_path / "runs", recipe, {"SFT": [grades(5, 5)], "dpo": [grades(9, 5), grades(1, 6)]})
    answers(found, recipe, {(m.row, m.seed): [["long"]] * 2 for m in found})
    monkeypatch.setattr("ropo_bench.report.samples.MAX_CHARACTERS", 6 * len("long") - 1)
    sides, (line,) = battles(found)
    assert {answer.seed for battle in sides for answer in battle.answers} == {0}
    assert "seeds other than 0" in line


def test_prompts_that_cannot_be_had_are_said(tmp_path: Path) -> None:
    recipe = task("chat", "score", prompts=str(tmp_path / "gone.jsonl"), decoding={"max_new_tokens": 8})
    found = shelf(tmp_path, recipe, {"SFT": [grades(5, 5)]})
    answers(found, recipe, {("SFT", 0): [["a"], ["b"]]})
    sides, (line,) = battles(found)
    assert sides == []
    assert line.startswith("chat: ")
    assert "gone.jsonl" in line
