"""Published judgments give the published win rates, length-controlled ones too."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ropo_bench.scoring.alpaca_eval import calibration, estimator
from ropo_bench.scoring.alpaca_eval.leaderboard import Annotation, read_annotations, write_annotations
from ropo_bench.scoring.alpaca_eval.win_rates import ModelRow, leaderboard_row, measure_annotations
from ropo_bench.scoring.length_control import C, control_length

MODELS = ["gpt-3.5-turbo-1106", "gemma-7b-it", "FuseChat-Llama-3.1-8B-Instruct", "gpt4_1106_preview"]


def annotations(assets: Path, model: str) -> list[Annotation]:
    return read_annotations(assets / model / "annotations.json.gz")


def expected(assets: Path, model: str) -> dict[str, Any]:
    known: dict[str, Any] = json.loads((assets / "expected.json").read_text())["models"][model]
    return known


def value(row: ModelRow, metric: str) -> float:
    found = row.measurements[metric].value
    assert found is not None
    return found


@pytest.mark.parametrize("model", MODELS)
def test_published_leaderboard_figures(assets: Path, model: str) -> None:
    """With C by cross-validation, as `score alpaca-eval` does without --lc-c."""
    known = expected(assets, model)["published"]
    (row,) = measure_annotations(annotations(assets, model))
    assert value(row, "win_rate") == pytest.approx(known["win_rate"], abs=1e-6)
    assert value(row, "discrete_win_rate") == pytest.approx(known["discrete_win_rate"], abs=1e-6)
    assert value(row, "lc_win_rate") == pytest.approx(known["length_controlled_winrate"], abs=0.12)
    assert row.measurements["average_length"].value == known["avg_length"]
    assert row.measurements["win_rate"].standard_error == pytest.approx(known["standard_error"], abs=1e-9)
    assert {found.n for found in row.measurements.values()} == {805}
    line = leaderboard_row(row)
    for name in ("n_wins", "n_wins_base", "n_draws", "n_total", "avg_length"):
        assert getattr(line, name) == known[name]


@pytest.mark.parametrize("model", MODELS[:3])
def test_published_length_control_at_its_c(assets: Path, model: str) -> None:
    known = expected(assets, model)
    (row,) = measure_annotations(annotations(assets, model), known["published_lc_is_reached_at"]["C"])
    published = known["published"]
    assert value(row, "lc_win_rate") == pytest.approx(published["length_controlled_winrate"], abs=1e-6)
    # A bootstrap of what was observed, not the spread of predictions: never below the raw win rate's own error.
    error = row.measurements["lc_win_rate"].standard_error
    assert error is not None
    assert 1.0 < error / published["standard_error"] < 2.0


def test_estimator_of_a_run_is_the_same_fit(assets: Path) -> None:
    from ropo_bench.scoring.alpaca_eval.estimator import alpaca_lc_win_rate
    from ropo_bench.types import Score

    known = expected(assets, "gemma-7b-it")
    difficulty = calibration.difficulties()
    scores = [
        Score(
            str(i),
            str(i),
            "lc_win_rate",
            100 * (one.preference - 1),
            detail={"length_delta": len(one.output_1) - len(one.output_2), "difficulty": float(difficulty[i])},
        )
        for i, one in enumerate(annotations(assets, "gemma-7b-it"))
        if one.preference is not None
    ]
    found = alpaca_lc_win_rate([scores])
    assert found.value == pytest.approx(known["published"]["length_controlled_winrate"], abs=1e-6)
    assert found.evaluate is not None
    # Every prompt once is the same fit, to the exact optimum instead of liblinear's tolerance.
    assert found.evaluate(np.ones((1, 805)))[0, 0] == pytest.approx(found.value, abs=0.02)


def test_difficulties_are_found_by_instruction_not_by_row(assets: Path) -> None:
    """Reversed and halved files: what alpaca_eval gives for the same verdicts when it is told the right rows."""
    whole = annotations(assets, "gemma-7b-it")
    (row,) = measure_annotations(whole[::-1], C)
    assert value(row, "lc_win_rate") == pytest.approx(
        expected(assets, "gemma-7b-it")["published"]["length_controlled_winrate"], abs=1e-6
    )
    assert "found by instruction" in row.notes[0]
    half = whole[1::2]
    (row,) = measure_annotations(half, C)
    preferences = np.array([one.preference for one in half], dtype=float) - 1
    deltas = np.array([len(one.output_1) - len(one.output_2) for one in half], dtype=float)
    gamed, difficulty = estimator.gamed(), calibration.difficulties()
    right = control_length(preferences, deltas, difficulty[1::2], gamed=gamed).win_rate
    by_position = control_length(preferences, deltas, difficulty[: len(half)], gamed=gamed).win_rate
    assert value(row, "lc_win_rate") == pytest.approx(right, abs=1e-6)
    assert abs(right - by_position) > 0.01


def test_without_preference_is_unscored_and_still_predicted_for(assets: Path) -> None:
    """As alpaca_eval does: its win rate drops such rows, its length control predicts for their difficulty."""
    import pandas as pd
    from alpaca_eval import metrics

    whole = annotations(assets, "gemma-7b-it")
    holes = [replace(one, preference=None, annotator=None) if i % 10 == 0 else one for i, one in enumerate(whole)]
    (row,) = measure_annotations(holes, C)
    theirs = metrics.get_winrate(pd.DataFrame({"preference": [one.preference for one in holes]}))
    assert value(row, "win_rate") == pytest.approx(theirs["win_rate"], abs=1e-9)
    assert value(row, "discrete_win_rate") == pytest.approx(theirs["discrete_win_rate"], abs=1e-9)
    for metric in ("win_rate", "discrete_win_rate", "lc_win_rate"):
        assert (row.measurements[metric].n, row.measurements[metric].n_unscored) == (724, 81)
    assert row.measurements["average_length"].n == 805
    assert value(row, "lc_win_rate") == pytest.approx(10.4, abs=1.0)
    assert "81 of 805" in row.notes[0]


def test_unknown_instructions_drop_the_difficulty_and_say_so(assets: Path) -> None:
    whole = annotations(assets, "gemma-7b-it")
    changed = [replace(whole[0], instruction="What else?"), *whole[1:]]
    (row,) = measure_annotations(changed)
    assert "lc_win_rate" not in row.measurements
    preferences = np.array([one.preference for one in changed], dtype=float) - 1
    deltas = np.array([len(one.output_1) - len(one.output_2) for one in changed], dtype=float)
    assert value(row, "lc_win_rate_nodiff") == pytest.approx(control_length(preferences, deltas).win_rate, abs=1e-6)
    assert "1 of 805 instructions" in row.notes[0]
    assert leaderboard_row(row).length_controlled_winrate is None


def test_a_row_for_each_model_baseline_and_judge(assets: Path) -> None:
    some = annotations(assets, "gemma-7b-it")[:40]
    others = [replace(one, generator_2="other") for one in annotations(assets, "gpt-3.5-turbo-1106")[:30]]
    opponent = [replace(one, generator_1="text_davinci_003") for one in some[:20]]
    judge = [replace(one, annotator="another-judge", preference=2.0) for one in some[:10]]
    rows = measure_annotations([*some, *others, *opponent, *judge], C)
    assert [(row.model, row.baseline, row.judge, len(row.annotations)) for row in rows] == [
        ("gemma-7b-it", "gpt4_1106_preview", "weighted_alpaca_eval_gpt4_turbo", 40),
        ("gemma-7b-it", "gpt4_1106_preview", "another-judge", 10),
        ("other", "gpt4_1106_preview", "weighted_alpaca_eval_gpt4_turbo", 30),
        ("gemma-7b-it", "text_davinci_003", "weighted_alpaca_eval_gpt4_turbo", 20),
    ]
    assert value(rows[1], "win_rate") == 100.0
    assert any("calibrated with gpt4_1106_preview" in note for note in rows[3].notes)


def test_degenerate_files(assets: Path) -> None:
    whole = annotations(assets, "gpt4_1106_preview")
    copy = [replace(one, generator_2="a copy") for one in whole]
    (row,) = measure_annotations(copy)
    assert value(row, "lc_win_rate") == 50.0
    assert row.measurements["lc_win_rate"].standard_error == 0.0
    (row,) = measure_annotations(annotations(assets, "gemma-7b-it")[:1])
    assert row.measurements["win_rate"].n == 1
    assert 0 <= value(row, "lc_win_rate") <= 100
    (row,) = measure_annotations([replace(one, preference=None) for one in copy[:3]])
    assert row.measurements["win_rate"].value is row.measurements["lc_win_rate"].value is None
    assert row.measurements["average_length"].n == 3


def test_winning_everything(assets: Path) -> None:
    won = [replace(one, preference=2.0) for one in annotations(assets, "gemma-7b-it")]
    (row,) = measure_annotations(won)
    assert value(row, "win_rate") == 100.0
    assert 50 < value(row, "lc_win_rate") <= 100
    (row,) = measure_annotations([replace(one, instruction=f"other {i}") for i, one in enumerate(won)])
    assert 50 < value(row, "lc_win_rate_nodiff") <= 100


def snapshot(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


IN_A_FRESH_PROCESS = """
import json, logging, os, socket, sys
from pathlib import Path

def refuse(*_, **__):
    raise OSError("no network in this test")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
level = logging.getLogger().level
from ropo_bench.scoring.alpaca_eval.leaderboard import read_annotations
from ropo_bench.scoring.alpaca_eval.listed import GRID
from ropo_bench.scoring.alpaca_eval.win_rates import measure_annotations
(row,) = measure_annotations(read_annotations(Path(sys.argv[1])))
import sklearn
print(json.dumps({
    "lc": row.measurements["lc_win_rate"].value,
    "level": logging.getLogger().level == level,
    "handlers": len(logging.getLogger().handlers),
    "secret": os.environ.get("SECRET_OF_DOTENV"),
    "dotenv": os.environ.get("PYTHON_DOTENV_DISABLED"),
    "routing": sklearn.get_config()["enable_metadata_routing"],
}))
"""


def test_alpaca_eval_leaves_no_marks(assets: Path, tmp_path: Path) -> None:
    """No network, nothing written into its installation, no change of this process's settings."""
    spec = importlib.util.find_spec("alpaca_eval")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    before = snapshot(folder)
    assert "leaderboards/data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv" in before
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / ".env").write_text("SECRET_OF_DOTENV=read by alpaca_eval")
    root = Path(__file__).parents[3]
    places = {"HOME": str(home), "HF_HOME": str(home / "hf"), "PYTHONPATH": str(root)}
    environment = {**os.environ, **places}
    path = assets / "gemma-7b-it" / "annotations.json.gz"
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, str(path)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found.pop("lc") == pytest.approx(10.4258, abs=0.12)
    assert found == {"level": True, "handlers": 0, "secret": None, "dotenv": None, "routing": False}
    assert snapshot(folder) == before
    assert not (home / "hf" / "hub").exists()


def test_our_verdicts_written_and_measured_again(assets: Path, tmp_path: Path) -> None:
    (first,) = measure_annotations(annotations(assets, "gpt-3.5-turbo-1106"), C)
    write_annotations(tmp_path / "annotations.json", first.annotations)
    (again,) = measure_annotations(read_annotations(tmp_path / "annotations.json"), C)
    assert again.measurements == first.measurements


def by_rows(records: list[Annotation]) -> tuple[float, float]:
    """Win rate and average length as alpaca_eval counts: every record once."""
    preferences = [one.preference for one in records if one.preference is not None]
    return 100 * (np.mean(preferences) - 1), np.mean([len(one.output_2) for one in records])


def test_an_instruction_given_twice_counts_twice(assets: Path) -> None:
    """As alpaca_eval's metric does; the mean of instructions' means is another number."""
    import pandas as pd
    from alpaca_eval import metrics

    whole = annotations(assets, "gemma-7b-it")
    lost = [one for one in whole if one.preference is not None and one.preference < 1.5]
    twice = [*whole, *lost[:100]]
    (row,) = measure_annotations(twice, C)
    theirs = metrics.get_winrate(pd.DataFrame({"preference": [one.preference for one in twice]}))
    assert value(row, "win_rate") == pytest.approx(theirs["win_rate"], abs=1e-9)
    assert value(row, "discrete_win_rate") == pytest.approx(theirs["discrete_win_rate"], abs=1e-9)
    assert value(row, "win_rate") < expected(assets, "gemma-7b-it")["published"]["win_rate"] - 0.5
    assert row.measurements["average_length"].value == int(by_rows(twice)[1])
    assert row.measurements["win_rate"].n == 905
    assert "100 annotations repeat an instruction; each counts" in row.notes[0]
