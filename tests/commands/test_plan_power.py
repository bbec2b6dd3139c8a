"""`ropo-bench plan`: the smallest difference that a run will see, and what a wanted one needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ropo_bench import planning
from ropo_bench.commands.plan.command import plan_command
from ropo_bench.commands.run import run_command
from ropo_bench.errors import UsageError
from ropo_bench.planning.plan import plan
from ropo_bench.planning.power import Wanted, power, read_wanted, select_tested_columns
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.request import Asked, Limits, Request, resolve
from ropo_bench.runs.reading import open_run
from ropo_bench.scoring import SCORERS
from ropo_bench.store import Store
from tests import tiny_suite

AE2 = "alpaca-eval-2.win_rate"


def with_figures(request: Request, figures: Mapping[str, dict[str, float]]) -> Request:
    """The request with planning figures of some columns ("task.metric"), and none elsewhere."""

    def task(recipe: TaskRecipe) -> TaskRecipe:
        columns = [
            column.model_copy(update={"split": figures.get(f"{recipe.name}.{column.metric}", {})})
            for column in recipe.columns
        ]
        return recipe.model_copy(update={"columns": columns})

    return Request(request.suite, [task(recipe) for recipe in request.tasks], request.methods, request.seeds)


def entries(request: Request, store: Store, *effects: str) -> dict[str, dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(json.dumps(power(request, store, read_wanted(effects, request))))
    return {f"{entry['task']}.{entry['metric']}": entry for entry in found}


@pytest.fixture
def mistral(tmp_path: Path) -> Request:
    return resolve(Asked("dpo,ropo", "mistral-7b", tasks="mt-bench,alpaca-eval-2"))


def test_a_raw_win_rate_of_805_prompts_sees_four_points(mistral: Request, tmp_path: Path) -> None:
    found = entries(with_figures(mistral, {AE2: {"prompts": 40}}), Store(tmp_path))[AE2]
    assert found["row"]["standard_error"] == pytest.approx(40 / 805**0.5)
    assert found["row"]["effect"] == pytest.approx(4.0, abs=0.06)
    # Two rows that may have nothing in common: sqrt(2) as much, at most.
    assert found["difference"]["at_most"]
    assert found["difference"]["effect"] == pytest.approx(2**0.5 * found["row"]["effect"])
    assert found["difference"]["effect_after_holm"] > found["difference"]["effect"]
    assert not found["seed_noise_known"]


def test_every_recipe_with_planning_figures_gives_the_designs_figure(tmp_path: Path) -> None:
    found = entries(resolve(Asked("dpo", "mistral-7b")), Store(tmp_path))
    assert found[AE2]["row"]["effect"] == pytest.approx(4.0, abs=0.06)
    assert found["mt-bench.score_corrected"]["row"]["effect"] < 1


def test_holm_counts_all_pairs_of_rows_on_all_tested_columns(mistral: Request, tmp_path: Path) -> None:
    assert [column.metric for _, column in select_tested_columns(mistral)] == [
        "score_corrected",
        "win_rate",
        "lc_win_rate",
    ]
    assert {entry["num_comparisons"] for entry in entries(mistral, Store(tmp_path)).values()} == {3 * 3}


def test_a_known_difference_of_rows_is_taken_in_place_of_the_bound(mistral: Request, tmp_path: Path) -> None:
    figures = {AE2: {"prompts": 40.0, "difference_prompts": 30.0}}
    found = entries(with_figures(mistral, figures), Store(tmp_path))[AE2]
    assert found["difference"]["standard_error"] == pytest.approx(30 / 805**0.5)
    assert not found["difference"]["at_most"]


def test_what_cannot_be_known_is_said_so(
    mistral: Request, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = with_figures(mistral, {})
    found = entries(bare, Store(tmp_path), "2")
    assert all(entry["row"] is entry["difference"] is entry["wanted"] is None for entry in found.values())
    assert "no planning figures" in found[AE2]["basis"]
    plan_command(bare, Store(tmp_path), False, planning.given_machine(640, 1))
    shown = capsys.readouterr().out
    assert "unknown: no earlier run of alpaca-eval-2 here" in shown.replace("\n", " ")
    assert max(map(len, shown.splitlines())) <= 120


def test_what_a_wanted_effect_needs(mistral: Request, tmp_path: Path) -> None:
    """The figures, put back into a plan, find the effect; a little less of them does not."""
    figures = {AE2: {"prompts": 20.0, "rest": 30.0, "seeds": 1.0}}
    request = with_figures(mistral, figures)
    needed = entries(request, Store(tmp_path), f"{AE2}=6")[AE2]
    assert entries(request, Store(tmp_path), f"{AE2}=6")["mt-bench.score_corrected"]["wanted"] is None
    seeds = needed["wanted"]["seeds_after_holm"]
    assert seeds > 1

    def effect(num_seeds: int) -> float:
        more = Request(request.suite, request.tasks, request.methods, num_seeds)
        found: float = entries(more, Store(tmp_path))[AE2]["difference"]["effect_after_holm"]
        return found

    assert effect(seeds) <= 6 < effect(seeds - 1)
    assert needed["wanted"]["prompts_after_holm"] is None or needed["wanted"]["prompts_after_holm"] > 805
    assert needed["seed_noise_known"]


def test_seed_noise_cannot_be_drowned_in_prompts(mistral: Request, tmp_path: Path) -> None:
    one = with_figures(mistral, {AE2: {"prompts": 10.0, "rest": 10.0, "seeds": 20.0}})
    request = Request(one.suite, one.tasks, one.methods, 2)
    needed = entries(request, Store(tmp_path), "3")[AE2]["wanted"]
    assert needed["prompts_alone"] is None
    assert needed["seeds_alone"] > 100


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("two", "points above 0"),
        ("-1", "points above 0"),
        ("nan", "points above 0"),
        ("inf", "points above 0"),
        ("alpaca-eval-2.winrate=2", "no tested column; known: mt-bench.score_corrected, alpaca-eval-2.win_rate"),
        (f"{AE2}=", "points above 0"),
    ],
)
def test_bad_effects(mistral: Request, given: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_wanted([given], mistral)


def test_effects_for_one_column_go_before_those_for_all(mistral: Request) -> None:
    found = read_wanted(["2", f"{AE2}=1.5"], mistral)
    assert [found.of(task, column) for task, column in select_tested_columns(mistral)] == [2.0, 1.5, 2.0]
    assert Wanted().of(*select_tested_columns(mistral)[0]) is None


def test_an_earlier_run_of_the_same_suite_and_task_is_the_basis(
    base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_suite.write(tmp_path / "suite", base_folder)
    asked = Asked("dpo,ropo", "tiny", seeds=2, include=[tmp_path / "suite"], sets=["train.epochs=1"])
    runs = tmp_path / "runs"
    before = entries(resolve(asked), Store(runs))["tiny-arena.win_rate"]
    assert before["row"] is None
    run_command(asked, runs, "first", True, Limits())
    table = json.loads(capsys.readouterr().out)
    after = entries(resolve(asked), Store(runs), "5")["tiny-arena.win_rate"]
    assert after["basis"] == "measured in run first: 2 rows, 2 seeds"
    assert after["num_prompts"] == 4
    assert after["seed_noise_known"]
    # Planned again as it was made, it says what was measured: the errors of its rows, pooled.
    cells = [c for row in table["rows"] if not row["reference"] for c in row["cells"] if c["metric"] == "win_rate"]
    pooled = np.sqrt(np.mean([cell["standard_error"] ** 2 for cell in cells]))
    assert after["row"]["standard_error"] == pytest.approx(pooled, rel=0.05)
    other = resolve(Asked("dpo", "tiny", include=[tmp_path / "suite"], base=str(tmp_path / "another")))
    assert entries(other, Store(runs))["tiny-arena.win_rate"]["row"] is None
    store, record = Store(runs), open_run(Store(runs), "first").record
    assert record.data is not None
    trained = [row for row in record.rows if row.name != "SFT"]
    more = [*record.rows, *(row.model_copy(update={"seed": row.seed + 2}) for row in trained)]
    other_data = record.data.model_copy(update={"sha256": "0" * 64})
    elsewhere: dict[str, dict[str, Any]] = {"first": {"base": "0" * 64}, "second": {"data": other_data}}
    checkpoints = {"methods": [], "checkpoints": {row.name: "elsewhere" for row in trained}}
    elsewhere["third"] = {"data": None, "request": record.request.model_copy(update=checkpoints)}
    for name, changes in elsewhere.items():
        store.write_run(f"elsewhere-{name}", record.model_copy(update={"rows": more, **changes}).model_dump())
        assert entries(resolve(asked), Store(runs), "5")["tiny-arena.win_rate"] == after, name
    files = sorted(runs.rglob("*"))
    record = plan(resolve(asked), Store(runs), planning.given_machine(80, 1))
    assert sorted(runs.rglob("*")) == files
    assert record["power"][0]["basis"] == after["basis"]


def test_the_items_of_scorers_that_bring_their_own() -> None:
    from ropo_bench.pocket.quiz import questions

    assert SCORERS["pocket-commonsense"].num_items == len(questions())
