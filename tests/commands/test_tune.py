"""`ropo-bench tune` on a tiny suite: every trial recorded, resumable, several at a time, written where asked."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.commands.tune import TuneAsked, tune_command
from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import load_suite
from ropo_bench.recipes.rates import TuningRecord, read_tuning
from tests import tiny_suite


@pytest.fixture(scope="module")
def shared_suite(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    tiny_suite.write(folder, base_folder)
    path = folder / "suites" / "tiny.yaml"
    path.write_text(path.read_text().replace("epochs: 4", "epochs: 1"))
    return path


@pytest.fixture
def suite(shared_suite: Path, tmp_path: Path) -> Path:
    """A test's own suite file; the data that it names are everybody's."""
    shutil.copytree(shared_suite.parents[1], tmp_path / "suite")
    return tmp_path / "suite" / "suites" / "tiny.yaml"


@pytest.fixture(scope="module")
def search(shared_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A first search of dpo by two workers: its store, its record, and what it told on its way."""
    runs, out, told = tmp_path_factory.mktemp("search") / "runs", io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(told):
        tune_command(asked(shared_suite, "dpo", workers=2), runs, True)
    return runs, out.getvalue(), told.getvalue()


@pytest.fixture
def searched(search: tuple[Path, str, str], tmp_path: Path) -> Path:
    """A test's own copy of that store."""
    shutil.copytree(search[0] / "cache", tmp_path / "runs" / "cache")
    return tmp_path / "runs"


def asked(suite: Path, methods: str, **changes: Any) -> TuneAsked:
    return TuneAsked(methods, "tiny", 2, **{"grid": "1e-3:9e-3", "include": [suite.parents[1]], **changes})


def record_of(capsys: pytest.CaptureFixture[str]) -> TuningRecord:
    return TuningRecord.model_validate_json(capsys.readouterr().out)


def test_every_trial_is_recorded_and_the_choice_written(
    suite: Path, searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, runs = tmp_path / "tuned.json", searched
    tune_command(asked(suite, "ropo,dpo", write=suite, out=out), runs, True)
    record = record_of(capsys)
    assert (record.task, record.metric, record.num_prompts) == ("tiny-arena", "win_rate", 4)
    assert record.grid == [1.02e-3, 2.05e-3, 4.1e-3, 8.19e-3]
    assert record.seeds == [100, 101]
    assert read_tuning(out) == record == read_tuning(next(runs.glob("tune-*/tune.json")))
    for name, tuned in record.methods.items():
        assert [point.lr for point in tuned.points if point.on_grid] == record.grid
        assert sum(point.share for point in tuned.points) == pytest.approx(1)
        chosen = next(point for point in tuned.points if point.lr == tuned.lr)
        assert chosen.num_seeds == 2
        assert chosen.value == tuned.value
        assert load_suite("tiny", include=[suite.parents[1]]).overrides[name] == {"train.lr": tuned.lr}
    assert not list((runs / "cache" / "policy").iterdir())  # nobody needs the weights of trials
    assert not list((runs / "cache" / "merged").iterdir())


def test_a_repeated_search_reads_what_is_there_and_workers_find_the_same(
    suite: Path, search: tuple[Path, str, str], searched: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, first, told = search
    record = TuningRecord.model_validate_json(first)
    later = sum(point.num_seeds - point.on_grid for point in record.methods["dpo"].points)
    assert told.count("dpo lr") == told.count("win_rate") == len(record.grid) + later
    capfd.readouterr()
    tune_command(asked(suite, "dpo"), searched, True)
    again, told = capfd.readouterr()
    assert again == first
    assert told.count("done before") >= told.count("dpo lr")
    assert "train" not in told


def test_a_failed_trial_is_a_point_of_the_curve(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A merged model may not differ at all: rates that change the weights fail their certificate.
    suite.write_text(suite.read_text() + "merge: {dtype: float16, mean_kl: 0}\n")
    tune_command(asked(suite, "dpo"), tmp_path / "runs", True)
    record = record_of(capsys)
    failed = [point for point in record.methods["dpo"].points if point.failures]
    assert failed
    assert all(point.value is None and point.share == 0 for point in failed)
    assert all(failure.startswith("seed 100: ") for point in failed for failure in point.failures)


@pytest.mark.slow
def test_another_method_joins_the_same_search_only(suite: Path, searched: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned.json"
    tune_command(asked(suite, "dpo", out=out), searched, True)
    # On the grid of the file, whatever is known now.
    tune_command(asked(suite, "ipo", out=out, grid=None), searched, True)
    assert list(read_tuning(out).methods) == ["dpo", "ipo"]
    before = out.read_text()
    with pytest.raises(UsageError, match="holds another search"):
        tune_command(asked(suite, "cpo", out=out, grid="1e-3:5e-3"), searched, True)
    assert out.read_text() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"write": Path("no.yaml")}, "no such file"),
        ({"grid": "1e-3"}, "give LOWEST:HIGHEST"),
        ({"grid": "1e-2:1e-3"}, "fewer than 3"),
    ],
)
def test_what_cannot_be_is_found_before_the_trials(
    suite: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        tune_command(asked(suite, "ropo", **changes), tmp_path / "runs", True)
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_no_record_is_named(suite: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"suite": "pocket", "trials_per_method": 3}))
    with pytest.raises(UsageError, match=r"old\.json: no record of `ropo-bench tune`"):
        tune_command(asked(suite, "ropo", out=old), tmp_path / "runs", True)
