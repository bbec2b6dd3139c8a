"""What a manifest or a run's record may be instead of whole: told in one line with the mend, never a crash."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from ropo_bench.errors import StorageError
from ropo_bench.store import MANIFEST, Stage, Store
from ropo_bench.store.files import write_checksummed

TORN = [b"", b"{", b"null", b"[]", b"3", b"\0" * 64, b"\xff\xfe", b'"text"', b"[" * 100_000, b'{"checksum": []}']


def make(root: Path, name: str = "scores", key: str = "k") -> Stage:
    stage = Store(root).stage(name, key)
    with stage.begin() as todo:
        if todo:
            (stage.path / "scores.jsonl").write_text('{"value": 1}\n')
            stage.finish({"seconds": 1.5})
    return stage


@pytest.mark.parametrize("content", TORN)
def test_a_torn_manifest_is_told_and_mended(tmp_path: Path, content: bytes) -> None:
    path = make(tmp_path).path
    (path / MANIFEST).write_bytes(content)
    with pytest.raises(StorageError, match=rf"manifest\.json: .*; delete the folder {path} and repeat") as caught:
        _ = Store(tmp_path).stage("scores", "k").done
    assert "\n" not in str(caught.value)
    shutil.rmtree(path)
    assert make(tmp_path).manifest == {"seconds": 1.5}


def test_a_manifest_cut_anywhere_is_told(tmp_path: Path) -> None:
    path = make(tmp_path).path / MANIFEST
    whole = path.read_bytes()
    for length in random.Random(0).sample(range(len(whole) - 1), 60):  # the last byte is its line's end
        path.write_bytes(whole[:length])
        with pytest.raises(StorageError, match=r"manifest\.json: "):
            _ = Store(tmp_path).stage("scores", "k").done


@pytest.mark.parametrize("changes", [{"schema": 1}, {"schema": 3}, {"stage": "merged"}, {"key": "other"}])
def test_a_whole_manifest_of_something_else_is_not_this_stages(tmp_path: Path, changes: dict[str, object]) -> None:
    path = make(tmp_path).path / MANIFEST
    manifest = json.loads(path.read_bytes())
    del manifest["checksum"]
    write_checksummed(path, {**manifest, **changes})
    with pytest.raises(StorageError, match="not a manifest of schema 2 of this stage; delete the folder"):
        _ = Store(tmp_path).stage("scores", "k").done


@pytest.mark.parametrize("content", TORN)
def test_a_torn_record_of_a_run_is_told(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    store.write_run("mine", {"rows": []})
    (tmp_path / "mine" / "run.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"run\.json: .*; delete it and repeat .* with --name mine"):
        store.read_run("mine")


@pytest.mark.parametrize("schema", [1, 4, None, "2"])
def test_a_record_of_another_schema_is_told(tmp_path: Path, schema: object) -> None:
    store = Store(tmp_path)
    store.write_run("mine", {"rows": [], "schema": schema})  # type: ignore[dict-item]
    with pytest.raises(StorageError, match=f"a run of schema {schema}, this program reads 2 and 3; delete it"):
        store.read_run("mine")


def test_files_behind_links_are_held_to_their_content(tmp_path: Path) -> None:
    """Whoever moved a large folder to another disk: the links are followed, and a dangling one is a missing file."""
    path = make(tmp_path / "runs").path / "scores.jsonl"
    elsewhere = tmp_path / "another disk é" / "scores"
    elsewhere.parent.mkdir()
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert Store(tmp_path / "runs").stage("scores", "k").file("scores.jsonl").read_text() == '{"value": 1}\n'
    elsewhere.write_text('{"value": 2}\n')
    with pytest.raises(StorageError, match=r"scores\.jsonl: content changed since it was finished"):
        _ = Store(tmp_path / "runs").stage("scores", "k").done
    elsewhere.unlink()
    with pytest.raises(StorageError, match=r"scores\.jsonl: missing from a finished folder"):
        _ = Store(tmp_path / "runs").stage("scores", "k").done


def test_a_stage_that_another_process_makes_again_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between this reader's look at the manifest and its look at the files, the stage is reopened and written to."""
    stage = make(tmp_path)

    def reopened(*_: object) -> None:
        stage.reopen()
        (stage.path / "scores.jsonl").write_text("")
        raise StorageError("scores.jsonl: has 0 bytes, was 13 when finished")

    monkeypatch.setattr("ropo_bench.store.stage.check_files", reopened)
    assert not Store(tmp_path).stage("scores", "k").done
