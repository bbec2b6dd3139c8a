"""Stages and runs of the store: done-markers, spoilt folders, full disks, corrupt records."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from ropo_bench.errors import StorageError, UsageError
from ropo_bench.store import JsonLines, Store, atomic_write_json, read_json


def test_a_stage_is_done_when_finished_and_not_before(tmp_path: Path) -> None:
    stage = Store(tmp_path).stage("train", "k")
    with stage.begin() as todo:
        assert todo
        (stage.path / "partial").write_text("resumable")
    assert not stage.done
    with stage.begin() as todo:
        assert todo
        assert (stage.path / "partial").read_text() == "resumable"
        stage.finish({"seconds": 1.5})
    again = Store(tmp_path).stage("train", "k")
    with again.begin() as todo:
        assert not todo
    assert again.manifest == {"seconds": 1.5}


def test_leftovers_of_a_killed_write_are_swept(tmp_path: Path) -> None:
    stage = Store(tmp_path).stage("train", "k")
    (stage.path / ".tmp-1-folder").mkdir(parents=True)
    (stage.path / ".tmp-1-file").write_text("half")
    with stage.begin():
        assert list(stage.path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("small", lambda p: p.unlink(), "missing from a finished folder"),
        ("small", lambda p: p.write_text("other"), "content changed"),
        ("large", lambda p: os.truncate(p, 5 << 20), "has 5242880 bytes, was 6291456"),
    ],
)
def test_a_spoilt_finished_stage_is_noticed_and_mended(
    tmp_path: Path, name: str, spoil: object, message: str
) -> None:
    def make() -> None:
        stage = Store(tmp_path).stage("merge", "k")
        with stage.begin() as todo:
            assert todo
            (stage.path / "deep").mkdir()
            (stage.path / "deep" / "small").write_text("small")
            (stage.path / "deep" / "large").write_bytes(b"x" * (6 << 20))
            stage.finish({})

    make()
    stage = Store(tmp_path).stage("merge", "k")
    assert callable(spoil)
    spoil(stage.path / "deep" / name)
    with pytest.raises(StorageError, match=rf"deep/{name}: {message}.*; delete the folder .*merge/k and repeat"):
        _ = stage.done
    shutil.rmtree(stage.path)
    make()
    assert Store(tmp_path).stage("merge", "k").done


def test_large_files_are_checked_by_who_reads_them(tmp_path: Path) -> None:
    stage = Store(tmp_path).stage("merged", "k")
    with stage.begin():
        (stage.path / "model").mkdir()
        (stage.path / "model" / "weights").write_bytes(b"x" * (6 << 20))
        stage.finish({"a": (1, 2), "b": float("nan")})
    with (stage.path / "model" / "weights").open("r+b") as file:
        file.seek(5 << 20)
        file.write(b"y")
    spoilt = Store(tmp_path).stage("merged", "k")
    assert spoilt.done, "nobody reads it"
    for read in (lambda: spoilt.file("model/weights"), lambda: spoilt.folder("model"), spoilt.folder):
        with pytest.raises(
            StorageError, match=r"model/weights: content changed .*; delete the folder .*merged/k and"
        ):
            read()


def test_a_manifest_and_a_run_record_have_checksums_of_themselves(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.stage("scores", "k").begin():
        store.stage("scores", "k").finish({"seconds": 1.5})
    store.write_run("a", {"complete": True, "seeds": 3})
    manifest = tmp_path / "cache/scores/k/manifest.json"
    for path, old, new, read in [
        (manifest, b"1.5", b"1.6", lambda s: s.stage("scores", "k").manifest),
        (
            tmp_path / "cache/scores/k/manifest.json",
            b'"checksum"',
            b'"checksun"',
            lambda s: s.stage("scores", "k").done,
        ),
        (tmp_path / "a/run.json", b'"seeds": 3', b'"seeds": 2', lambda s: s.read_run("a")),
        (tmp_path / "a/run.json", b'"checksum"', b'"checksun"', lambda s: s.read_run("a")),
    ]:
        before = path.read_bytes()
        path.write_bytes(before.replace(old, new))
        with pytest.raises(StorageError, match=rf"{path.name}: (content changed since|has no checksum) .*; delete "):
            read(Store(tmp_path))
        path.write_bytes(before)
        read(Store(tmp_path))


def test_a_stage_of_another_place_is_not_this_one(tmp_path: Path) -> None:
    stage = Store(tmp_path).stage("scores", "k")
    with stage.begin():
        stage.finish({})
    shutil.copytree(stage.path, tmp_path / "cache" / "scores" / "other")
    with pytest.raises(StorageError, match="not a manifest of schema 2 of this stage"):
        _ = Store(tmp_path).stage("scores", "other").done


def test_what_is_not_finished_has_no_files(tmp_path: Path) -> None:
    stage = Store(tmp_path).stage("scores", "k")
    for read in (lambda: stage.file("scores.jsonl"), stage.folder, lambda: stage.sha256("scores.jsonl")):
        with pytest.raises(StorageError, match="not finished; repeat the command that makes it"):
            read()
    assert not stage.has_file("scores.jsonl")
    with stage.begin():
        stage.finish({})
    with pytest.raises(StorageError, match=r"scores\.jsonl: not among the files of this stage"):
        stage.file("scores.jsonl")


def test_errors_of_the_disk_are_told_and_errors_of_the_body_pass(tmp_path: Path) -> None:
    stage = Store(tmp_path).stage("train", "k")
    with pytest.raises(StorageError, match="No space left"), stage.begin():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "elsewhere")
    (stage.path / "file").mkdir()
    with pytest.raises(StorageError, match="train/k/file: Is a directory"), stage.begin():
        (stage.path / "file").write_text("x")
    with pytest.raises(FileNotFoundError), stage.begin():
        (tmp_path / "users-data").read_text()
    with pytest.raises(ConnectionRefusedError), stage.begin():
        raise ConnectionRefusedError(errno.ECONNREFUSED, "no server")


def test_a_full_disk_loses_nothing_that_was_finished(full_disk: Path) -> None:
    store = Store(full_disk)
    first = store.stage("train", "first")
    with first.begin():
        (first.path / "weights").write_bytes(b"w" * 8192)
        first.finish({"step": 3})
    second = store.stage("train", "second")

    def fill() -> None:
        with second.begin(), JsonLines(second.path / "r.jsonl") as lines:
            for i in range(10_000):
                lines.append({"i": i, "text": "x" * 100})

    with pytest.raises(StorageError, match=r"No space left on device; free|File too large; raise"):
        fill()
    with pytest.raises(StorageError, match=r"No space left|File too large"):
        store.write_run("mine", {"text": "x" * 100_000})
    assert store.run_names() == []
    assert Store(full_disk).stage("train", "first").manifest == {"step": 3}
    assert not second.done
    records = [r["i"] for r in JsonLines(second.path / "r.jsonl")]
    assert records == list(range(len(records)))
    assert len(records) > 100


def test_a_run_is_written_read_and_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.run_names() == []
    store.write_run("pocket-1", {"rows": [], "suite": "pocket"})
    assert store.read_run("pocket-1") == {"rows": [], "suite": "pocket"}
    assert store.run_names() == ["pocket-1"]
    with pytest.raises(UsageError, match="did you mean 'pocket-1'"):
        store.read_run("poket-1")


@pytest.mark.parametrize("name", ["", "a/b", "..", "cache", ".tmp-x"])
def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="run name"):
        Store(tmp_path).run_folder(name)


def test_a_corrupt_run_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.json").write_text('{"half')
    with pytest.raises(StorageError, match=r"a/run\.json: not JSON"):
        Store(tmp_path).read_run("a")
    atomic_write_json(tmp_path / "a" / "run.json", {"x": 1})
    assert read_json(tmp_path / "a" / "run.json") == {"x": 1}
