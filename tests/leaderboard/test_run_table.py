"""From runs' records and scores to a table: rows, comparisons, and runs side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import compare_scores, leaderboard
from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.measurements import compare_stored_rows, measure_row
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.items import write_scores
from ropo_bench.runs.reading import open_run
from ropo_bench.statistics.multiplicity import holm
from ropo_bench.store import Store
from ropo_bench.types import Score
from tests.stored_run import ARENA, QUIZ, Values, write

TASKS = [TaskRecipe.model_validate(task) for task in (ARENA, QUIZ)]


def seed(draw: np.random.Generator, better: float = 0.0, count: int = 30) -> dict[str, Values]:
    """One seed's values on both tasks."""
    won = np.clip(np.round(2 * (draw.random(count) + better)) * 50, 0, 100)
    right = 100.0 * (draw.random(count) < 0.6 + better / 2)
    return {
        "arena": {"win_rate": won.tolist(), "length": draw.normal(50, 5, count).tolist()},
        "quiz": {"accuracy": right.tolist()},
    }


def rows(num_seeds: int, *names: str, first: int = 0) -> dict[str, Sequence[dict[str, Values]]]:
    """SFT with one seed, the others with several, each better than the one before."""
    draw = np.random.default_rng(first)
    found: dict[str, Sequence[dict[str, Values]]] = {"SFT": [seed(np.random.default_rng(99))]}
    return found | {
        name: [seed(draw, 0.2 * (1 + place)) for _ in range(num_seeds)] for place, name in enumerate(names)
    }


def table(store: Store, *names: str) -> Leaderboard:
    return leaderboard([open_run(store, name) for name in names])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_all_pairs_are_compared_on_the_tested_columns_and_corrected_together(store: Store) -> None:
    write(store, "one", rows(1, "dpo", "ropo"))
    board = table(store, "one")
    found = [(c.task, c.metric, c.a, c.b, c.test) for c in board.comparisons]
    pairs = [("SFT", "dpo"), ("SFT", "ropo"), ("dpo", "ropo")]
    assert found == [
        *(("arena", "win_rate", *pair, "sign flips") for pair in pairs),
        *(("quiz", "accuracy", *pair, "exact McNemar") for pair in pairs),
    ]
    assert [c.adjusted for c in board.comparisons] == holm([c.p_value for c in board.comparisons])
    assert {(c.metric, c.tested) for c in board.columns} == {
        ("win_rate", True),
        ("length", False),
        ("accuracy", True),
    }
    assert board.provenance["packages"] == {"torch": "2.13.0"}


def test_from_scores_alone_the_comparisons_are_the_same(store: Store) -> None:
    write(store, "three", rows(3, "dpo", "ropo"))
    board = table(store, "three")
    assert {c.test for c in board.comparisons} == {"crossed t"}
    run = open_run(store, "three")
    assert compare_scores(TASKS, {task: run.scores(task) for task in run.tasks}, run.seeds) == board.comparisons


def test_a_second_look_computes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, "three", rows(3, "dpo"))
    board = table(store, "three")
    for name in ("examine", "compare_samples", "read_scores"):
        monkeypatch.delattr(measure_row.__module__ + "." + name)
    assert table(store, "three") == board
    assert table(Store(store.root), "three") == board


def test_what_is_not_finished_is_pending_and_not_compared(store: Store) -> None:
    made = rows(2, "dpo", "ropo")
    half = [made["ropo"][0], {}]
    record = write(store, "run", {**made, "ropo": half, "oft": None})
    record.rows[3].state = "failed: out of memory"
    store.write_run("run", record.model_dump())
    board = table(store, "run")
    states = {row.name: (row.state, len(row.cells)) for row in board.rows}
    assert states == {
        "SFT": ("done", 3), "dpo": ("done", 3), "ropo": ("failed: out of memory", 0), "oft": ("pending", 0),
    }  # fmt: skip
    record.rows[3].state, record.rows[4].state = "done", "pending"
    store.write_run("half", record.model_dump())
    assert [row.label for row in table(store, "half").rows][2] == "ropo (pending, 1/2 seeds)"
    assert {(c.a, c.b) for c in board.comparisons} == {("SFT", "dpo")}
    assert list(open_run(store, "half").scores("arena")) == ["SFT", "dpo"]


def test_runs_stand_side_by_side(store: Store) -> None:
    first, second = rows(2, "dpo", "ropo"), rows(2, "dpo", "ropo", first=1)
    write(store, "monday", first)
    write(store, "tuesday", {"SFT": second["SFT"], "dpo": first["dpo"], "ropo": second["ropo"]})
    board = table(store, "monday", "tuesday")
    assert [row.name for row in board.rows] == ["SFT", "dpo", "ropo (monday)", "ropo (tuesday)"]
    assert board.title.startswith("monday + tuesday · ")
    assert len(board.comparisons) == 2 * 6
    assert list(board.provenance["runs"]) == ["monday", "tuesday"]
    assert table(store, "monday", "monday") == table(store, "monday")


def test_the_reference_of_each_run_is_one(store: Store) -> None:
    """SFT rows whose scores differ (other code, or one is not scored yet) stand apart, and are no methods."""
    write(store, "monday", rows(2, "dpo"))
    write(store, "tuesday", {**rows(2, "ropo", first=1), "SFT": None})
    board = table(store, "monday", "tuesday")
    assert [(row.name, row.reference) for row in board.rows if "SFT" in row.name] == [
        ("SFT (monday)", True),
        ("SFT (tuesday)", True),
    ]


def test_two_tasks_of_the_same_scores_have_cells_of_their_own(store: Store) -> None:
    again = {**QUIZ, "name": "again"}
    right = {"accuracy": [100.0, 0.0, 100.0]}
    record = write(store, "run", {"SFT": [{"quiz": right, "again": right}]}, tasks=(QUIZ, again))
    for row in record.rows:
        row.scores["again"] = row.scores["quiz"]
    store.write_run("run", record.model_dump())
    (row,) = table(store, "run").rows
    assert list(row.cells) == [("quiz", "accuracy"), ("again", "accuracy")]


HARDER = {**ARENA, "options": {"tie": 0.1}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"base": "c" * 64}, "base: tiny:base and tiny:base, of other content"),
        ({"data": {"key": "e", "num_pairs": 9, "left_out": [], "sha256": "e" * 64}}, "preference data: sha256 ddd"),
        ({"tasks": (QUIZ,)}, "tasks: arena, quiz and quiz"),
        ({"tasks": (HARDER, QUIZ)}, "the options of task arena"),
    ],
)
def test_runs_that_differ_in_what_is_measured_have_no_common_table(
    store: Store, changes: dict[str, Any], says: str
) -> None:
    write(store, "a", rows(1, "dpo"))
    write(store, "b", rows(1, "ropo"), **changes)
    with pytest.raises(UsageError, match=f"runs a and b: no common table, they differ in {says}") as caught:
        table(store, "a", "b")
    assert "\n" not in str(caught.value)


def test_judges_must_be_the_same(store: Store) -> None:
    for name, model in (("a", "gpt-4"), ("b", "gpt-4.1")):
        record = write(store, name, rows(1, "dpo"))
        record.request.judges["arena"] = JudgeRecipe(name=model, description="a judge", model=model)
        store.write_run(name, record.model_dump())
    with pytest.raises(UsageError, match=r"the judge of arena: gpt-4 and gpt-4\.1"):
        table(store, "a", "b")


def test_a_large_table_is_read_in_no_time(store: Store) -> None:
    write(store, "large", rows(5, *(f"m{i}" for i in range(13))))
    cold = table(store, "large")
    began = time.process_time()
    assert table(Store(store.root), "large") == cold
    assert time.process_time() - began < 2
    assert len(cold.comparisons) == 2 * 14 * 13 // 2


def test_refitted_columns_are_compared_on_the_prompts_that_both_have(store: Store) -> None:
    """One row lacks prompts, so that its kept bootstrap draws are not those of the other."""
    column = {"metric": "lc_win_rate_nodiff", "header": "LC %", "estimator": "lc_win_rate"}
    task = TaskRecipe.model_validate({**ARENA, "columns": [column]})
    draw = np.random.default_rng(0)
    found = {}
    for name, missing in (("a", 0), ("b", 4)):
        scores = [
            Score(f"p{i}", f"p{i}", "lc_win_rate_nodiff", float(draw.choice([0, 100])),
                  detail={"length_delta": float(draw.normal(0, 50))})
            for i in range(missing, 40)
        ]  # fmt: skip
        stage = store.stage("scores", name)
        with stage.begin():
            write_scores(stage, scores)
            stage.finish({})
        found[name] = measure_row(store, task, [stage])
    [comparison] = compare_stored_rows(store, [task], {task.name: found})
    assert (comparison.n, comparison.test) == (36, "bootstrap t")


def test_the_mean_that_a_cell_does_not_print_stands_under_the_table(store: Store) -> None:
    task = {**ARENA, "columns": [{"metric": "grade", "header": "grade", "estimator": "ratio"}]}
    record = write(store, "one", {"SFT": [{"arena": {"grade": [8.0, 9.0]}}]}, tasks=(task,))
    stage = store.stage("scores", record.rows[0].scores["arena"])
    turns = {"p0:1": 8.0, "p0:2": 2.0, "p1:1": 9.0}
    write_scores(stage, [Score(item, item.split(":")[0], "grade", value) for item, value in turns.items()])
    board = table(store, "one")
    [row] = board.rows
    assert row.cells["arena", "grade"].value == pytest.approx(19 / 3)
    assert board.footers[0].startswith("arena, SFT: grade 6.33 is the mean over scored items")
    assert board.footers[0].endswith("the mean of prompts' means is 7.00")
