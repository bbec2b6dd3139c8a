"""`import ropo_bench as rb`: the runs, tables and models of the commands, and nothing heavy before it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ropo_bench as rb
from ropo_bench.errors import UsageError
from ropo_bench.leaderboard.formats import to_json
from tests import tiny_suite
from tests.forked import python
from tests.test_pipeline import finish, ropo_bench

EXAMPLE = Path(__file__).parents[1] / "docs" / "example.py"


@pytest.fixture(scope="module")
def suite(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    tiny_suite.write(folder, base_folder)
    return folder


@pytest.fixture(scope="module")
def made(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> rb.FinishedRun:
    runs = tmp_path_factory.mktemp("api") / "runs"
    return rb.run(methods=["ropo", "dpo"], suite="tiny", include=[suite], runs=runs, name="tiny")


def record(path: Path) -> dict[str, Any]:
    """A run's record without what tells of time."""
    record: dict[str, Any] = json.loads(path.read_text())
    for row in record["rows"]:
        for part in (row["training"], row["certificate"]):
            for key in [key for key in part or {} if "second" in key or key in ("made_with", "peak_memory_bytes")]:
                del part[key]
    del record["provenance"], record["checksum"]
    return record


def test_a_run_from_python_is_that_of_the_command(made: rb.FinishedRun, suite: Path, tmp_path: Path) -> None:
    command = ["run", "--methods", "ropo,dpo", "--suite", "tiny", "--include", str(suite), "--name", "tiny"]
    code, _, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err
    assert record(tmp_path / "runs/tiny/run.json") == record(made.run.store.root / "tiny/run.json")
    # And the command finds everything done where Python has made it.
    before = (made.run.store.root / "tiny/run.json").read_bytes()
    code, _, err = finish(ropo_bench(*command, "--runs", str(made.run.store.root), cwd=tmp_path))
    assert code == 0, err
    assert "begins" not in err
    assert (made.run.store.root / "tiny/run.json").read_bytes() == before


def test_the_table_has_the_numbers_of_the_leaderboard(made: rb.FinishedRun) -> None:
    table = made.table()
    assert list(table.index) == ["SFT", "ropo", "dpo"]
    for row in json.loads(to_json(made.leaderboard))["rows"]:
        for cell in row["cells"]:
            assert table.loc[row["name"], (cell["task"], cell["metric"], "value")] == cell["value"]
    assert "tiny-arena" in made._repr_html_()
    assert "<table" in made._repr_html_()


def test_answers_scores_comparisons_and_models_are_at_hand(made: rb.FinishedRun) -> None:
    answers = made.completions("tiny-arena", "ropo")
    assert sorted(answers["prompt_id"]) == ["p0", "p1", "p2", "p3"]
    assert set(made.scores("energy", "dpo")["metric"]) >= {"energy_drift"}
    compared = made.compare("ropo", "dpo")
    assert ("tiny-arena", "win_rate") in compared.index
    assert (made.model("ropo") / "config.json").is_file()
    assert made.state == {"SFT": "done", "ropo": "done", "dpo": "done"}
    again = rb.open_run("tiny", runs=made.run.store.root)
    assert again.table().equals(made.table())


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda run: run.completions("tiny-arena", "rppo"), "did you mean 'ropo'"),
        (lambda run: run.scores("tiny-arena", "ropo", seed=7), "has no seed 7"),
        (lambda run: run.model("SFT"), "no merged model"),
        (lambda run: run.completions("energy", "ropo"), "no answers to energy"),
    ],
)
def test_what_is_not_there_is_said(made: rb.FinishedRun, ask: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        ask(made)


def test_the_example_of_the_documentation_runs(made: rb.FinishedRun, suite: Path, tmp_path: Path) -> None:
    script = (
        f"import runpy, sys; sys.argv[0] = {str(EXAMPLE)!r}; runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')"
    )
    options = ["--suite", "tiny", "--include", str(suite), "--runs", str(made.run.store.root)]
    code, out, err = finish(python(script, *options, cwd=tmp_path))
    assert code == 0, err
    assert "merged weights:" in out
    assert "win_rate" in out


def output_of(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_is_quick_and_shows_what_there_is() -> None:
    plain = int(output_of("import sys; print(len(sys.modules))"))
    shown, count = output_of(
        "import json, ropo_bench as rb, sys; print(json.dumps(dir(rb))); print(len(sys.modules))"
    ).splitlines()
    assert {"run", "open_run", "RopoConfig", "Loss", "Score", "score_alpaca_eval"} <= set(json.loads(shown))
    assert int(count) - plain < 40  # json and a few more of the standard library's
