"""Publishing: a result is small, holds numbers and names nobody's machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ropo_bench.errors import RopoBenchError, UnfinishedRun, UsageError
from ropo_bench.leaderboard import leaderboard
from ropo_bench.leaderboard.formats import from_json
from ropo_bench.publishing import publish
from ropo_bench.publishing.names import paths_in
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import RunRecord
from tests.publishing.editing import COMMIT, altered, texts


def test_a_result_is_small_and_holds_numbers_not_texts(result: Path) -> None:
    files = texts(result)
    assert sorted(files) == [
        "certificates.json", "manifest.json", "provenance.json", "recipe.json", "scores.jsonl.gz", "table.json",
        "table.md", "training.csv",
    ]  # fmt: skip
    assert sum(path.stat().st_size for path in result.iterdir()) < 60_000
    for name, text in files.items():
        assert "question" not in text, name  # the prompts are "question 0?"
        assert not paths_in(text), name
    scores = [json.loads(line) for line in files["scores.jsonl.gz"].splitlines()]
    assert all(list(line["rows"]) == ["SFT", "ropo", "dpo"] for line in scores)
    assert {key for line in scores for key in line} <= {"task", "metric", "item", "cluster", "detail", "rows"}


def test_it_says_what_the_runs_own_table_says(made: Run, result: Path) -> None:
    published, board = from_json((result / "table.json").read_text()), leaderboard(made)
    assert [row.cells for row in published.rows] == [row.cells for row in board.rows]
    assert list(published.comparisons) == list(board.comparisons)
    assert len(published.comparisons) == 3


def test_paths_become_names_and_hashes(result: Path, base_folder: Path) -> None:
    recipe = json.loads((result / "recipe.json").read_text())
    assert recipe["suite"]["base"] == base_folder.name
    assert recipe["suite"]["data"] == "pairs.jsonl"
    made = json.loads((result / "provenance.json").read_text())
    files = {entry["where"]: entry for entry in made["files"]}
    assert files["tasks.tiny-arena.prompts"]["name"] == "prompts.jsonl"
    assert all(len(entry["sha256"]) == 64 for entry in files.values())
    assert made["commits"] == [COMMIT]
    assert made["trained"][0]["rows"] == ["ropo 0", "dpo 0"]
    assert f"base {base_folder.name} · data pairs.jsonl" in (result / "table.md").read_text()


def test_the_training_table_has_each_logs_first_and_last_losses(result: Path) -> None:
    head, *lines = [line.split(",") for line in (result / "training.csv").read_text().splitlines()]
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    assert [row["row"] for row in rows] == ["ropo", "dpo"]
    for row in rows:
        assert float(row["loss.first"]) == pytest.approx(0.6931, abs=1e-3)
        assert float(row["loss.last_tenth"]) < float(row["loss.first"])


def test_the_same_run_gives_the_same_bytes_and_another_is_refused(made: Run, copy: Path, tmp_path: Path) -> None:
    assert publish(made, copy).unchanged
    again = publish(made, tmp_path / "again")
    assert not again.unchanged
    assert {p.name: p.read_bytes() for p in again.folder.iterdir()} == {
        p.name: p.read_bytes() for p in copy.iterdir()
    }
    (copy / "table.md").write_text("another")
    with pytest.raises(UsageError, match=r"another result \(table.md differs\)"):
        publish(made, copy)
    assert (copy / "table.md").read_text() == "another"


def dirty(record: RunRecord) -> None:
    assert record.rows[1].training is not None
    record.rows[1].training["made_with"]["code"]["dirty"] = True


def no_checkout(record: RunRecord) -> None:
    record.provenance["code"] = {"commit": None, "dirty": None}


def failed(record: RunRecord) -> None:
    record.rows[2].state = "failed: the loss is NaN at step 3"
    record.complete = False


@pytest.mark.parametrize(
    ("edit", "error", "words"),
    [
        (dirty, UsageError, "ropo seed 0 was made from a dirty tree"),
        (no_checkout, UsageError, "its last part was made outside a git checkout"),
        (failed, UnfinishedRun, r"not finished: dpo seed 0 \(failed: the loss is NaN at step 3\)"),
    ],
)
def test_what_may_not_be_published(
    made: Run,
    tmp_path: Path,
    edit: Callable[[RunRecord], None],
    error: type[RopoBenchError],
    words: str,
) -> None:
    run = altered(made, tmp_path / "runs", edit)
    with pytest.raises(error, match=words) as refusal:
        publish(run, tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == (4 if error is UnfinishedRun else 2)
    assert not (tmp_path / "out").exists()


def test_several_commits_must_all_be_named(made: Run, tmp_path: Path) -> None:
    def two(record: RunRecord) -> None:
        record.provenance["code"]["commit"] = "f" * 40

    run = altered(made, tmp_path / "runs", two)
    with pytest.raises(UsageError, match=r"made by 2 commits.*--commit 012345678901 --commit ffffffffffff"):
        publish(run, tmp_path / "out", [COMMIT])
    with pytest.raises(UsageError, match="--commit abc: nothing in it was made by that"):
        publish(run, tmp_path / "out", ["abc"])
    publish(run, tmp_path / "out", ["012345", "fff"])
    assert json.loads((tmp_path / "out/provenance.json").read_text())["commits"] == [COMMIT, "f" * 40]


def test_a_key_in_a_recipe_is_not_published(made: Run, tmp_path: Path) -> None:
    def leak(record: RunRecord) -> None:
        record.request.tasks[0].options["header"] = "sk-" + "a1" * 12

    with pytest.raises(UsageError, match=r"recipe.json would hold what looks like a key: sk-a1a\.\.\.;"):
        publish(altered(made, tmp_path / "runs", leak), tmp_path / "out")
