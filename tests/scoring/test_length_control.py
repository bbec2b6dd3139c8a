"""Length-controlled win rates: published figures, known coefficients, symmetry."""

from __future__ import annotations

import csv
import gzip
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ropo_bench.recipes.task import Column
from ropo_bench.scoring.length_control import C, Gamed, control_length, estimate, logistic, win_rates
from ropo_bench.scoring.length_control.difficulties import fit_difficulties
from ropo_bench.statistics.cells import measure
from ropo_bench.statistics.comparisons import compare
from ropo_bench.types import Measurement, Score

ASSETS = Path(os.environ["ROPO_BENCH_ASSETS"], "alpaca_eval") if "ROPO_BENCH_ASSETS" in os.environ else None
needs_assets = pytest.mark.skipif(ASSETS is None, reason="ROPO_BENCH_ASSETS is not set")
MODELS = ["gpt-3.5-turbo-1106", "gemma-7b-it", "FuseChat-Llama-3.1-8B-Instruct"]


def read_json(*parts: str) -> Any:
    assert ASSETS is not None
    path = ASSETS.joinpath(*parts)
    return json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())


def gamed_rows() -> list[dict[str, str]]:
    assert ASSETS is not None
    with gzip.open(ASSETS / "calibration" / "df_gamed.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def annotated(model: str) -> tuple[np.ndarray, np.ndarray]:
    rows = read_json(model, "annotations.json.gz")
    preferences = np.array([row["preference"] for row in rows]) - 1
    deltas = np.array([len(row["output_1"]) - len(row["output_2"]) for row in rows], dtype=float)
    return preferences, deltas


def calibration() -> tuple[Gamed, np.ndarray]:
    rows = gamed_rows()
    preferences, deltas, difficulties = (
        np.array([float(row[key]) for row in rows])
        for key in ("preference", "std_delta_len", "instruction_difficulty")
    )
    by_index = {int(row["index"]): float(row["instruction_difficulty"]) for row in rows}
    return Gamed(preferences, deltas, difficulties), np.array([by_index[i] for i in range(len(by_index))])


@needs_assets
@pytest.mark.parametrize("model", MODELS)
def test_published_length_controlled_win_rates(model: str) -> None:
    known = read_json("expected.json")["models"][model]
    gamed, difficulties = calibration()
    c = known["published_lc_is_reached_at"]["C"]
    assert c == pytest.approx(C, rel=1e-12)
    found = control_length(*annotated(model), difficulties, gamed=gamed)
    assert found.win_rate == pytest.approx(known["published"]["length_controlled_winrate"], abs=1e-6)
    assert found.coefficients == pytest.approx(known["published_lc_is_reached_at"]["coef"], abs=1e-6)


@needs_assets
def test_baseline_against_itself_is_50() -> None:
    _, difficulties = calibration()
    preferences, deltas = annotated("gpt4_1106_preview")
    assert control_length(preferences, deltas, difficulties).win_rate == 50.0


@needs_assets
@pytest.mark.parametrize("c", [0.05, C, 400.0])
@pytest.mark.filterwarnings("ignore:Inconsistent values")
def test_same_as_alpaca_eval(c: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its own code on real annotations, with C fixed instead of chosen by cross-validation."""
    sklearn = pytest.importorskip("sklearn")
    pytest.importorskip("alpaca_eval")
    import pandas as pd
    from alpaca_eval.metrics import glm_winrate

    assert ASSETS is not None
    monkeypatch.setattr(glm_winrate, "hf_hub_download", lambda **_: str(ASSETS / "calibration" / "df_gamed.csv.gz"))
    info = {**glm_winrate.GLM_INFO["length_controlled_v1"], "kwargs": {"n_splits": 0, "C": c}}
    rows = pd.DataFrame(read_json("gemma-7b-it", "annotations.json.gz"))
    routing = sklearn.get_config()["enable_metadata_routing"]
    try:
        theirs = glm_winrate.get_length_controlled_winrate(rows, save_weights_dir=None, glm_info=info)
    finally:
        sklearn.set_config(enable_metadata_routing=routing)
    gamed, difficulties = calibration()
    ours = control_length(*annotated("gemma-7b-it"), difficulties, gamed=gamed, c=c)
    assert ours.win_rate == pytest.approx(theirs["length_controlled_winrate"], abs=1e-9)


def simulated(n: int, constant: float, length: float, ease: float, shift: float) -> tuple[np.ndarray, ...]:
    """Preferences of a judge with known coefficients; shift: by how much answers are longer, in sd."""
    draw = np.random.default_rng(0)
    deltas = draw.normal(-shift, 1, n)
    difficulties = draw.normal(size=n)
    z = constant + length * np.tanh(deltas / deltas.std(ddof=1)) + ease * difficulties
    return (draw.random(n) < logistic(z)).astype(float), deltas, difficulties


def test_known_coefficients_are_found() -> None:
    preferences, deltas, difficulties = simulated(20_000, 0.4, -1.2, 0.7, 0.0)
    found = control_length(preferences, deltas, difficulties)
    assert found.coefficients == pytest.approx([-1.2, 0.7, 0.4], abs=0.06)
    assert found.win_rate == pytest.approx(100 * logistic(0.4 + 0.7 * difficulties).mean(), abs=1.0)


def test_a_judge_of_length_only_gives_50_at_equal_lengths() -> None:
    preferences, deltas, difficulties = simulated(20_000, 0.0, -2.0, 0.0, 1.0)
    assert 100 * preferences.mean() > 70  # the longer answers win
    assert control_length(preferences, deltas, difficulties).win_rate == pytest.approx(50, abs=2.0)
    assert control_length(preferences, deltas).win_rate == pytest.approx(50, abs=2.0)


@pytest.mark.parametrize("won", [0.0, 1.0])
def test_who_loses_every_battle_does_not_win_them_all(won: float, capfd: pytest.CaptureFixture[str]) -> None:
    """liblinear alone says 99 % of both: of one class it makes the positive one."""
    draw = np.random.default_rng(0)
    preferences, lengths = np.full(60, won), 30 * draw.normal(size=60)
    for difficulties in (None, draw.normal(size=60)):
        found = control_length(preferences, lengths, difficulties)
        assert abs(found.win_rate - 100 * won) < 2
        again = win_rates(np.ones((1, 60)), preferences, lengths, difficulties)
        assert found.win_rate == pytest.approx(again[0])
    assert capfd.readouterr().err == ""


def test_units_of_length_do_not_matter_and_sides_mirror() -> None:
    preferences, deltas, difficulties = simulated(300, 0.5, -1.0, 0.5, 0.5)
    found = control_length(preferences, deltas, difficulties)
    assert control_length(preferences, 7 * deltas, difficulties).win_rate == pytest.approx(found.win_rate, abs=1e-3)
    mirrored = control_length(1 - preferences, -deltas, -difficulties)
    assert mirrored.win_rate == pytest.approx(100 - found.win_rate, abs=0.5)


def as_scores(preferences: np.ndarray, deltas: np.ndarray, difficulties: np.ndarray | None) -> list[Score]:
    return [
        Score(
            str(i),
            str(i),
            "lc_win_rate",
            100 * float(preferences[i]),
            detail={"length_delta": float(deltas[i])}
            | ({} if difficulties is None else {"difficulty": float(difficulties[i])}),
        )
        for i in range(len(preferences))
    ]


COLUMN = Column(metric="lc_win_rate", header="", estimator="lc")


def cell(*scores_by_seed: list[Score]) -> Measurement:
    (found,) = measure("arena", [COLUMN], scores_by_seed, {"lc": estimate})
    return found


def test_estimator_is_the_fit_with_a_bootstrap_interval() -> None:
    preferences, deltas, difficulties = simulated(250, 0.5, -1.0, 0.5, 0.5)
    scores = as_scores(preferences, deltas, difficulties)
    found = cell(scores)
    assert found.value == control_length(preferences, deltas, difficulties).win_rate
    # Between the error of a plain share and twice that: length control costs some precision.
    assert found.standard_error is not None
    assert 100 * 0.5 / 250**0.5 * 0.7 < found.standard_error < 100 * 0.5 / 250**0.5 * 2
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.value == pytest.approx(found.value - found.low)
    assert found.high - found.value == pytest.approx(1.97 * found.standard_error, rel=0.01)
    assert cell(scores) == found


def test_the_error_is_that_of_new_tables() -> None:
    """The spread of 200 estimates of one judge on new prompts, against the mean error of 5 of the tables."""
    draw = np.random.default_rng(4)
    estimates, errors = [], []
    for table in range(200):
        deltas, difficulties = draw.normal(0.5, 1, 150), draw.normal(size=150)
        preferences = (draw.random(150) < logistic(0.5 - np.tanh(deltas) + difficulties)).astype(float)
        estimates.append(win_rates(np.ones((1, 150)), preferences, deltas, difficulties)[0])
        if table < 5:
            errors.append(cell(as_scores(preferences, deltas, difficulties)).standard_error)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.2)


def test_samples_of_a_prompt_move_together() -> None:
    """Every battle twice says nothing new: the same number, and the same error, not one smaller by sqrt 2."""
    once = as_scores(*simulated(250, 0.5, -1.0, 0.5, 0.5))
    twice = [replace(score, item=f"{score.item}#{sample}") for score in once for sample in (0, 1)]
    one, two = cell(once), cell(twice)
    assert two.n == 2 * one.n
    assert two.value == pytest.approx(one.value, abs=0.1)
    assert two.standard_error == pytest.approx(one.standard_error, rel=0.02)


def test_estimator_averages_seeds_and_reads_scores_without_difficulty() -> None:
    good, deltas, _ = simulated(200, 2.0, -1.0, 0.0, 0.5)
    poor, _, _ = simulated(200, -1.0, -1.0, 0.0, 0.5)
    found = cell(as_scores(good, deltas, None), as_scores(poor, deltas, None))
    expected = [control_length(preferences, deltas).win_rate for preferences in (good, poor)]
    assert found.value == pytest.approx(np.mean(expected))
    # Seeds this far apart make nearly all of the error: half their distance.
    assert found.standard_error == pytest.approx(abs(expected[0] - expected[1]) / 2, rel=0.1)


def test_a_prompt_that_a_seed_lacks_is_in_no_resample_but_in_the_others_estimate() -> None:
    whole = as_scores(*simulated(60, 0.5, -1.0, 0.5, 0.5))
    sample = estimate([whole, whole[:50]])
    assert len(sample.clusters) == 50
    assert sample.evaluate is not None
    both = sample.evaluate(np.ones((1, 50)))[0]
    assert both[0] == both[1]
    assert sample.estimates_S[0] != sample.estimates_S[1]


def test_rows_on_the_same_prompts_differ_more_surely_than_their_errors_say() -> None:
    """Two rows that mostly win the same battles: the paired error is well under that of two separate rows."""
    preferences, deltas, difficulties = simulated(250, 0.5, -1.0, 0.5, 0.5)
    better = preferences.copy()
    better[np.flatnonzero(preferences == 0)[:20]] = 1.0
    rows = {"a": [as_scores(better, deltas + 0.1, difficulties)], "b": [as_scores(preferences, deltas, difficulties)]}
    (found,) = compare("arena", [COLUMN], rows, {"lc": estimate}, [("a", "b")])
    a, b = (cell(*scores) for scores in rows.values())
    assert found.estimate == pytest.approx(a.value - b.value)
    assert found.standard_error < 0.5 * np.hypot(a.standard_error, b.standard_error)
    assert found.p_value < 0.001
    (same,) = compare("arena", [COLUMN], {"a": rows["a"], "b": rows["a"]}, {"lc": estimate}, [("a", "b")])
    assert (same.estimate, same.standard_error, same.p_value) == (0.0, 0.0, 1.0)


def test_sft_against_itself_is_50_without_error() -> None:
    zeros = np.zeros(40)
    found = cell(as_scores(zeros + 0.5, zeros, zeros))
    assert (found.value, found.standard_error, found.low, found.high) == (50.0, 0.0, 50.0, 50.0)


def reference_models(num_models: int, num_prompts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    ease_X = draw.normal(size=num_prompts)
    deltas_MX = draw.normal(size=(num_models, num_prompts)) * 30
    z_MX = np.linspace(-1, 1, num_models)[:, None] - 0.8 * np.tanh(deltas_MX / 30) + 1.5 * ease_X
    return (draw.random(z_MX.shape) < logistic(z_MX)).astype(float), deltas_MX, ease_X


def test_difficulties_recover_what_was_planted() -> None:
    preferences, deltas, ease_X = reference_models(12, 150)
    names = [f"p{i}" for i in range(150)]
    found = fit_difficulties(names, preferences, deltas)
    values = np.array([found[name] for name in names])
    assert np.corrcoef(values, ease_X)[0, 1] > 0.8
    assert values.mean() == pytest.approx(0, abs=1e-5)
    assert values.std() == pytest.approx(1, abs=1e-5)


def test_difficulties_do_not_depend_on_the_order_of_models_and_bear_gaps() -> None:
    preferences, deltas, _ = reference_models(6, 40)
    names = [f"p{i}" for i in range(40)]
    found = fit_difficulties(names, preferences, deltas)
    assert fit_difficulties(names, preferences[::-1], deltas[::-1]) == pytest.approx(found, abs=2e-6)
    preferences[2, :10] = np.nan
    deltas[2, :10] = np.nan
    gaps = fit_difficulties(names, preferences, deltas)
    assert np.corrcoef(list(gaps.values()), list(found.values()))[0, 1] > 0.95


def test_prompts_that_do_not_differ_have_difficulty_zero() -> None:
    found = fit_difficulties(["a", "b"], np.ones((3, 2)), np.zeros((3, 2)))
    assert found == {"a": 0.0, "b": 0.0}
