"""Learning rates as part of the answer: what a run trains at, what its table says, and what choosing costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import leaderboard
from ropo_bench.leaderboard.rates import choice_error, rate_lines
from ropo_bench.pipeline import run
from ropo_bench.recipes.load import load_method, load_methods, load_suite
from ropo_bench.recipes.rates import Point, Tuned, TuningRecord, set_rates, settings_key, write_tuning
from ropo_bench.report import gather
from ropo_bench.report.sections import learning_rates, trajectories
from ropo_bench.request import Asked, resolve
from ropo_bench.runs.reading import open_run
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress
from tests import tiny_suite


def tuned(method: Any, lr: float, **changes: Any) -> Tuned:
    """Five points, of which three around 4e-3 were tried with three seeds."""
    shares = {2e-3: 0.2, 4e-3: 0.7, 8e-3: 0.1}
    points = [
        Point(lr=rate, on_grid=True, num_seeds=3 if rate in shares else 1, value=50.0, share=shares.get(rate, 0.0))
        for rate in (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
    ]
    fields = {"value": 50.0, "corrected": 49.0, "at_edge": False, "points": points, "code": {}}
    return Tuned(lr=lr, settings_key=settings_key(method), **(fields | changes))


def record(methods: dict[str, Tuned], base: str = "b", data: str = "d") -> TuningRecord:
    return TuningRecord(
        suite="tiny", task="tiny-arena", metric="win_rate", num_prompts=4, base=base, data=data,
        grid=[1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2], seeds=[100, 101, 102], draws=2000, methods=methods,
    )  # fmt: skip


def test_suite_rates_stay_and_tuned_ones_are_the_records() -> None:
    methods = load_methods("dpo,ropo", suite=load_suite("pocket"))
    known = record({m.name: tuned(m, 4e-3) for m in methods})
    assert set_rates("suite", methods, None)[0] == methods
    rows, rates = set_rates("tuned", methods, known)
    assert [row.train.lr for row in rows] == [4e-3, 4e-3]
    assert [row.name for row in rows] == ["dpo", "ropo"]
    assert (rates.how, rates.neighbours) == ("tuned", {})
    assert all(rates.is_tuned(row, "b", "d") for row in rows)
    assert not any(rates.is_tuned(row, "another base", "d") for row in rows)
    assert not any(set_rates("suite", methods, known)[1].is_tuned(row, "b", "d") for row in methods)  # another rate


def test_a_curve_has_the_rates_that_might_have_been_chosen() -> None:
    method = load_method("dpo")
    rows, rates = set_rates("curve", [method], record({"dpo": tuned(method, 4e-3)}))
    assert [(row.name, row.train.lr) for row in rows] == [("dpo", 4e-3), ("dpo@0.002", 2e-3), ("dpo@0.008", 8e-3)]
    assert {name: near.share for name, near in rates.neighbours.items()} == {"dpo@0.002": 0.2, "dpo@0.008": 0.1}


def test_nothing_is_tuned_in_silence() -> None:
    method = load_method("dpo")
    other = load_method("dpo", sets=["loss.beta=0.5"])
    with pytest.raises(UsageError, match="chose no rate for dpo"):
        set_rates("tuned", [method], record({}))
    with pytest.raises(UsageError, match="no record of its rates"):
        set_rates("tuned", [method], None)
    with pytest.raises(UsageError, match="tuned with other settings"):
        set_rates("tuned", [other], record({"dpo": tuned(method, 4e-3)}))
    with pytest.raises(UsageError, match="give suite, tuned or curve"):
        set_rates("best", [method], None)
    with pytest.raises(UsageError, match="sets the learning rates"):
        resolve(Asked("dpo", "pocket", rates="tuned", sets=["dpo.train.lr=1e-3"]))


@pytest.mark.parametrize("key", ["train.lr=1", "train.core.packing=false"])
def test_a_rate_holds_whatever_does_not_change_the_training(key: str) -> None:
    assert settings_key(load_method("ropo")) == settings_key(load_method("ropo", sets=[key]))
    assert settings_key(load_method("ropo")) != settings_key(load_method("ropo", sets=["train.epochs=2"]))


def test_the_error_of_a_choice_is_the_spread_over_what_might_have_been_chosen() -> None:
    assert choice_error([50.0, 54.0], [0.5, 0.5]) == 2.0
    assert choice_error([50.0, 54.0], [1.0, 0.0]) == 0.0
    assert choice_error([50.0, 54.0], [0.3, 0.3]) == 2.0  # the rest chose what was not run
    assert choice_error([50.0], [0.0]) == 0.0


@pytest.fixture(scope="module")
def store(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The runs `plain` (suite rates) and `curve` of a tiny suite, whose dpo was tuned and whose ropo was not."""
    folder = tmp_path_factory.mktemp("rates")
    tiny_suite.write(folder, base_folder)
    found = Store(folder / "runs")
    with Progress() as progress:
        plain = run(resolve(Asked("dpo,ropo", "tiny", 1, include=[folder])), found, "plain", progress)
        method = load_method("dpo", suite=load_suite("tiny", include=[folder]), include=[folder])
        known = record({"dpo": tuned(method, 4e-3, at_edge=True)}, plain.base, plain.data_sha256 or "")
        write_tuning(folder / "tuned.json", known)
        asked = Asked("dpo", "tiny", 1, include=[folder], rates="curve", tuning=folder / "tuned.json")
        run(resolve(asked), found, "curve", progress)
    return found


def test_a_table_says_which_rates_are_not_tuned(store: Store) -> None:
    [line] = [line for line in leaderboard(open_run(store, "plain")).footers if line.startswith("learning rates")]
    assert line == (
        "learning rates: dpo 0.01, ropo 0.01: one rate a method, not tuned; an order among these may be one of their"
        " learning rates"
    )


def test_a_table_of_curves_shows_the_choice_and_its_error(store: Store) -> None:
    board = leaderboard(open_run(store, "curve"))
    assert [row.name for row in board.rows] == ["SFT", "dpo"]
    assert {(c.a, c.b) for c in board.comparisons} == {("SFT", "dpo")}
    lines = [line for line in board.footers if line.startswith(("learning rates", "error of choosing"))]
    assert lines[0] == (
        "learning rates: dpo 0.004: tuned by win_rate on tiny-arena (4 prompts), grid of 5 rates over 1.2 decades,"
        " the same for all, 3 seeds around the peak; at an end of the grid, where a better rate may lie beyond: dpo"
    )
    assert lines[1].startswith("error of choosing the rate on tiny-arena WR: dpo ± ")
    assert len(open_run(store, "curve").record.rows) == 4  # the neighbours are in the record


def test_a_report_has_the_curves_of_tuned_rows(store: Store) -> None:
    data = gather(open_run(store, "curve"))
    [curve] = data.of(learning_rates.SECTION) or []
    assert (curve.row, curve.chosen, curve.corrected) == ("dpo", 4e-3, 49.0)
    assert [point.lr for point in curve.points] == [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2]
    assert "learning-rates" not in data.left_out
    assert gather(open_run(store, "plain")).left_out["learning-rates"] == "this run has none"
    assert {each.row for each in data.of(trajectories.SECTION) or []} == {"dpo"}  # and none of its neighbours


def test_runs_side_by_side_keep_what_is_said_of_each(store: Store) -> None:
    board = leaderboard([open_run(store, name) for name in ("plain", "curve")])
    assert not any("@" in row.name for row in board.rows)
    assert sum(line.startswith("learning rates") for line in board.footers) == 2


def test_a_run_without_methods_has_no_rates(store: Store) -> None:
    plain = open_run(store, "plain").record
    for change in ({"methods": []}, {"rates": None}):
        asked = plain.request.model_copy(update=change)
        assert rate_lines(plain.model_copy(update={"request": asked})) == []
