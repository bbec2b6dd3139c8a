from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.commands.tune import GRID, tune_command, window
from ropo_bench.errors import UsageError
from ropo_bench.recipes import load_suite
from tests import tiny_suite


def test_the_grid_is_half_decades() -> None:
    assert GRID == (1e-5, 3.2e-5, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2, 3.2e-2, 1e-1)


@pytest.mark.parametrize(
    ("rate", "count", "expected"),
    [(1e-3, 3, [3, 4, 5]), (1e-5, 3, [0, 1, 2]), (1.0, 4, [5, 6, 7, 8]), (2e-4, 1, [3]), (1e-3, 9, list(range(9)))],
)
def test_a_window_stays_inside_the_grid(rate: float, count: int, expected: list[int]) -> None:
    assert window(rate, count) == expected


def test_tune_records_every_trial_and_writes_the_best(
    base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_suite.write(tmp_path / "suite", base_folder)
    path = tmp_path / "suite" / "suites" / "tiny.yaml"
    path.write_text(path.read_text().replace("epochs: 4", "epochs: 1"))
    include = [tmp_path / "suite"]
    tune_command("ropo,dpo", "tiny", 2, path, include, tmp_path / "runs", True)
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert record["task"] == "tiny-arena"
    assert record["metric"] == "win_rate"
    for name in ("ropo", "dpo"):
        trials = record["methods"][name]["trials"]
        assert 2 <= len(trials) <= 3
        best = max(trial["value"] for trial in trials)
        chosen = record["methods"][name]["best"]
        assert chosen["value"] == best
        assert chosen["lr"] == min(trial["lr"] for trial in trials if trial["value"] == best)
        assert load_suite("tiny", include=include).overrides[name] == {"train.lr": chosen["lr"]}
    assert json.loads(next((tmp_path / "runs").glob("tune-*/tune.json")).read_text())["methods"] == record["methods"]


def test_a_missing_file_to_write_is_found_before_the_trials(base_folder: Path, tmp_path: Path) -> None:
    tiny_suite.write(tmp_path / "suite", base_folder)
    with pytest.raises(UsageError, match="no such file"):
        tune_command("ropo", "tiny", 2, tmp_path / "no.yaml", [tmp_path / "suite"], tmp_path / "runs", True)
    assert not (tmp_path / "runs").exists()
