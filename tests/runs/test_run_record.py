"""A run's record, read back as it was written, from this version's files and from those of schema 2."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import StorageError
from ropo_bench.leaderboard import leaderboard
from ropo_bench.runs.reading import open_run
from ropo_bench.runs.record import RunRecord
from ropo_bench.store import Store
from tests import stored_run

SCHEMA_2 = Path(__file__).parent / "run_of_schema_2.json"  # as that version wrote it: rows do not name their policy
ROWS: dict[str, Any] = {
    "SFT": [
        {"arena": {"win_rate": [50.0] * 6, "length": [4.0] * 6}, "quiz": {"accuracy": [100.0, 0.0] * 3}},
    ],
    "dpo": [
        {
            "arena": {"win_rate": [100.0, 50.0, 0.0, 100.0, 50.0, 100.0], "length": [5.0] * 6},
            "quiz": {"accuracy": [100.0] * 5 + [0.0]},
        }
    ],
    "ropo": None,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with the run `now`, and `before`, which an earlier version wrote of the same scores."""
    store = Store(tmp_path)
    request = stored_run.request(methods=["dpo", "ropo"], rates={"how": "suite"})
    record = stored_run.write(store, "now", ROWS, request=request)
    record.rows[1].training = json.loads(SCHEMA_2.read_text())["rows"][1]["training"]
    record.rows[1].policy = "trained"
    store.write_run("now", record.model_dump())
    (tmp_path / "before").mkdir()
    shutil.copy(SCHEMA_2, tmp_path / "before" / "run.json")
    with store.stage("policy", "trained").begin():
        store.stage("policy", "trained").finish(record.rows[1].training or {})
    return store


def test_a_record_is_read_back_as_it_was_written(store: Store) -> None:
    record = open_run(store, "now").record
    assert json.loads((store.root / "now" / "run.json").read_text())["schema"] == 3
    store.write_run("again", record.model_dump())
    assert open_run(store, "again").record == record
    assert (store.root / "again" / "run.json").read_bytes() == (store.root / "now" / "run.json").read_bytes()


def test_a_record_of_schema_2_gives_the_same_table(store: Store) -> None:
    before, now = (open_run(store, name) for name in ("before", "now"))
    assert [row.policy for row in before.record.rows] == [None, None, None]
    board = leaderboard(before)
    assert len(board.comparisons) == 2
    assert board == replace(leaderboard(now), title=board.title)


def test_either_schema_tells_which_stage_trained_a_row(store: Store) -> None:
    for name in ("before", "now"):
        run = open_run(store, name)
        stages = [run.policy_stage(row) for row in run.record.rows]
        assert [stage and stage.key for stage in stages] == [None, "trained", None]


@pytest.mark.parametrize(
    ("place", "change", "says"),
    [
        ("request", {"shots": 1}, r"unknown key 'shots' in request; known: suite, tasks"),
        ("request", {"seeds": "two"}, r"request\.seeds: must be a whole number"),
        ("data", {"num_pairs": None}, r"data\.num_pairs: must be a whole number"),
    ],
)
def test_what_this_version_cannot_read_is_told_with_its_key(
    store: Store, place: str, change: dict[str, Any], says: str
) -> None:
    fields = store.read_run("now")
    store.write_run("now", {**fields, place: {**fields[place], **change}})
    with pytest.raises(StorageError, match=rf"now/run\.json: {says}.*; delete it and repeat .* with --name now"):
        open_run(store, "now")


def test_a_limit_that_recipes_have_no_more_stands_with_what_was_held_to_it() -> None:
    fields = json.loads(SCHEMA_2.read_text())
    del fields["schema"], fields["checksum"]
    limits = {
        "dtype": "float32",
        "top1_agreement": 0.999,
        "mean_kl": 1e-5,
        "surviving_share": 0.5,
        "orthogonality": 1e-5,
    }
    fields["request"]["suite"]["merge"] = limits
    fields["rows"][1]["certificate"] = {"surviving_share": 0.9}
    record = RunRecord.model_validate(fields)
    assert record.request.suite.merge.mean_kl == 1e-5
    assert record.rows[1].certificate == {"surviving_share": 0.9, "limits": limits}
    assert fields["request"]["suite"]["merge"] == limits
