"""The store: content keys, whole-or-absent files, torn ends, kill -9, locks and full disks."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ropo_bench.errors import StorageError, UsageError
from ropo_bench.runs import (
    JsonLines,
    Store,
    atomic_file,
    atomic_folder,
    atomic_write_json,
    atomic_write_text,
    canonical_json,
    content_key,
    file_hash,
    folder_hash,
    read_json,
    source_hash,
    storage_errors,
)


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def small_file_limit() -> Iterator[None]:
    """No file of this process may pass 64 KiB: writes fail as on a full disk, with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=["tmpfs", "file size limit"])
def full_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 64 KiB: a real small disk where mounting is allowed, and a limit everywhere."""
    if request.param == "file size limit":
        request.getfixturevalue("small_file_limit")
        yield tmp_path
        return
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not allowed here; the file size limit stands in for it")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


class TestKeys:
    def test_key_does_not_depend_on_the_order_of_inputs(self) -> None:
        assert content_key("train", {"a": 1, "b": [2.5, None]}) == content_key("train", {"b": [2.5, None], "a": 1})
        assert len(content_key("train", {})) == 16

    def test_key_depends_on_stage_and_every_input(self) -> None:
        keys = {content_key(s, {"lr": lr}) for s in ("train", "merge") for lr in (1e-4, 1e-5)}
        assert len(keys) == 4

    def test_canonical_json_worked_example(self) -> None:
        assert canonical_json({"b": "é", "a": [1, 1e-05]}) == '{"a":[1,1e-05],"b":"\\u00e9"}'
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_json(float("nan"))

    def test_source_hash_changes_with_a_source_file_below_a_folder_and_with_nothing_else(
        self, tmp_path: Path
    ) -> None:
        code = tmp_path / "code"
        (code / "deep").mkdir(parents=True)
        (code / "deep" / "a.py").write_text("x = 1\n")
        before = source_hash(code)
        (code / "notes.txt").write_text("not code")
        assert source_hash(code) == before
        moved = tmp_path / "elsewhere" / "code"
        shutil.copytree(code, moved)
        assert source_hash(moved) == before
        (code / "deep" / "a.py").write_text("x = 2\n")
        assert source_hash(code) != before

    def test_source_hash_of_a_module_imports_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = tmp_path / "explosive"
        package.mkdir()
        (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
        (package / "part.py").write_text("x = 1\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        assert source_hash("explosive.part") != source_hash("explosive")
        with pytest.raises(UsageError, match=r"explosive\.absent"):
            source_hash("explosive.absent")

    def test_file_hash_is_sha256_and_sees_a_change_of_equal_size(self, tmp_path: Path) -> None:
        path = tmp_path / "weights"
        path.write_bytes(b"a" * (2 << 20))
        cache = tmp_path / "cache"
        first = file_hash(path, cache)
        assert first == file_hash(path)
        assert not cache.exists(), "a file younger than the clock's tick must not be remembered"
        time.sleep(2.1)
        assert file_hash(path, cache) == first
        (entry,) = cache.iterdir()
        entry.write_text("remembered\n")
        assert file_hash(path, cache) == "remembered", "a remembered file is not read again"
        times = path.stat()
        path.write_bytes(b"b" * (2 << 20))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert file_hash(path, cache) not in (first, "remembered"), "changed, although its old time was put back"

    def test_folder_hash_counts_names_and_contents_but_no_hidden_files(self, tmp_path: Path) -> None:
        model = tmp_path / "model"
        model.mkdir()
        (model / "config.json").write_text("{}")
        before = folder_hash(model)
        (model / ".cache").mkdir()
        (model / ".cache" / "x").write_text("x")
        assert folder_hash(model) == before
        (model / "config.json").rename(model / "other.json")
        assert folder_hash(model) != before
        with pytest.raises(UsageError, match="no such folder"):
            folder_hash(tmp_path / "absent")


class TestJsonLines:
    def test_what_goes_in_comes_out(self, tmp_path: Path) -> None:
        records = [{"text": 'line\nbreak "é" \u2028 \ud800 \0', "x": 0.1}, {"y": None}]
        with JsonLines(tmp_path / "a" / "r.jsonl") as lines:
            assert list(lines) == []
            for record in records:
                lines.append(record)
            assert list(lines) == records

    @pytest.mark.parametrize("torn", [b'{"i":', b'{"i":2}', b"\0" * 700, b'{"i"\0\0\0}\n', b"\0\0\n\0\0", b"\xff"])
    def test_a_torn_end_is_not_read_and_is_cut_by_the_next_append(self, tmp_path: Path, torn: bytes) -> None:
        path = tmp_path / "r.jsonl"
        path.write_bytes(b'{"i":0}\n{"i":1}\n' + torn)
        assert [r["i"] for r in JsonLines(path)] == [0, 1]
        assert path.read_bytes().endswith(torn), "reading changes nothing"
        with JsonLines(path) as lines:
            lines.append({"i": 2})
        assert path.read_bytes() == b'{"i":0}\n{"i":1}\n{"i":2}\n'

    @pytest.mark.parametrize("bad", [b"{", b"\0\0", b"3", b'{"i":1}{"i":2}'])
    def test_a_corrupt_middle_is_named_and_never_cut(self, tmp_path: Path, bad: bytes) -> None:
        path = tmp_path / "r.jsonl"
        content = b'{"i":0}\n' + bad + b'\n{"i":2}\n'
        path.write_bytes(content)
        with pytest.raises(StorageError, match=r"r\.jsonl, line 2: .*delete the folder"):
            list(JsonLines(path))
        with pytest.raises(StorageError, match="line 2"), JsonLines(path) as lines:
            lines.append({"i": 3})
        assert path.read_bytes() == content

    def test_a_failed_append_leaves_the_file_as_it_was(self, tmp_path: Path, small_file_limit: None) -> None:
        with JsonLines(tmp_path / "r.jsonl") as lines:
            lines.append({"i": 0})
            with pytest.raises(StorageError, match=r"r\.jsonl: File too large; .*ulimit"):
                lines.append({"text": "x" * (100 << 10)})
            lines.append({"i": 1})
        assert (tmp_path / "r.jsonl").read_bytes() == b'{"i":0}\n{"i":1}\n'


class TestAtomic:
    def test_an_error_in_the_body_leaves_the_old_file_and_no_litter(self, tmp_path: Path) -> None:
        target = tmp_path / "a.txt"
        atomic_write_text(target, "old")

        def fail() -> None:
            with atomic_file(target) as temporary:
                temporary.write_text("half")
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert target.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]

    def test_a_folder_is_replaced_whole_or_kept(self, tmp_path: Path) -> None:
        target = tmp_path / "checkpoint"
        with atomic_folder(target) as folder:
            (folder / "old").write_text("1")

        def fail() -> None:
            with atomic_folder(target) as folder:
                (folder / "new").write_text("2")
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert [p.name for p in target.iterdir()] == ["old"]
        with atomic_folder(target) as folder:
            (folder / "new").write_text("2")
        assert [p.name for p in target.iterdir()] == ["new"]
        assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]

    def test_a_file_where_a_folder_is_needed_is_told_with_its_mend(self, tmp_path: Path) -> None:
        (tmp_path / "runs").write_text("a file")
        with pytest.raises(StorageError, match=r"runs/x: Not a directory; a file is where a folder .*--runs DIR"):
            atomic_write_json(tmp_path / "runs" / "x" / "run.json", {})
        store = Store(tmp_path / "runs")
        with (
            pytest.raises(StorageError, match="a file is where a folder is needed"),
            store.stage("a", "k").begin(),
        ):
            pass

    def test_safetensors_tells_of_a_full_disk_as_text(self, tmp_path: Path) -> None:
        with (
            pytest.raises(StorageError, match="No space left on device; free some space"),
            storage_errors(tmp_path),
        ):
            raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    def test_other_errors_pass(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="mine"), storage_errors(tmp_path):
            raise ValueError("mine")


class TestStage:
    def test_a_stage_is_done_when_finished_and_not_before(self, tmp_path: Path) -> None:
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

    def test_leftovers_of_a_killed_write_are_swept(self, tmp_path: Path) -> None:
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
        self, tmp_path: Path, name: str, spoil: object, message: str
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

    def test_errors_of_the_disk_are_told_and_errors_of_the_body_pass(self, tmp_path: Path) -> None:
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

    def test_a_full_disk_loses_nothing_that_was_finished(self, full_disk: Path) -> None:
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


WORKER = """
import sys
from pathlib import Path
from ropo_bench.runs import JsonLines, Store, atomic_folder
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(100000):
    stage = store.stage("work", f"{number:06d}")
    with stage.begin() as todo:
        if not todo:
            continue
        with JsonLines(stage.path / "records.jsonl") as lines:
            have = sum(1 for _ in lines)
            for i in range(have, 40):
                lines.append({"i": i, "text": "x" * 3000})
                if i == 20:
                    with atomic_folder(stage.path / "checkpoint") as folder:
                        (folder / "a").write_text("a" * 50000)
                        (folder / "b").write_text("b" * 50000)
        (stage.path / "weights").write_bytes(b"w" * 200000)
        stage.finish({"records": 40})
"""


def test_kill_9_at_any_moment_leaves_no_half_record_and_no_marker_without_its_files(tmp_path: Path) -> None:
    dice = random.Random(0)
    for _ in range(12):
        worker = start(WORKER, str(tmp_path))
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0.0, 0.12))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    unfinished = 0
    folders = sorted((tmp_path / "cache" / "work").iterdir())
    for folder in folders:
        stage = Store(tmp_path).stage("work", folder.name)
        records = [r["i"] for r in JsonLines(folder / "records.jsonl")]
        assert records == list(range(len(records)))
        if (folder / "checkpoint").exists():
            assert sorted(p.stat().st_size for p in (folder / "checkpoint").iterdir()) == [50000, 50000]
        if stage.done:
            assert len(records) == 40
            assert (folder / "weights").stat().st_size == 200000
        else:
            unfinished += 1
    assert len(folders) > 5, "the worker was killed before it did anything"
    assert unfinished <= 1, "each new worker finishes what the killed one left"


HOLDER = """
import sys, time
from pathlib import Path
from ropo_bench.runs import Store
stage = Store(Path(sys.argv[1])).stage("train", "k")
with stage.begin() as todo:
    print("holding", flush=True)
    if sys.argv[2] == "finish":
        time.sleep(0.3)
        stage.finish({"by": "holder"})
    else:
        time.sleep(60)
"""


@pytest.mark.parametrize("end", ["finish", "killed"])
def test_a_second_process_waits_says_for_whom_and_goes_on(tmp_path: Path, end: str) -> None:
    holder = start(HOLDER, str(tmp_path), end)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    said: list[str] = []

    def waiting(line: str) -> None:
        said.append(line)
        if end == "killed":
            holder.send_signal(signal.SIGKILL)

    stage = Store(tmp_path).stage("train", "k")
    with stage.begin(waiting) as todo:
        assert todo is (end == "killed")
    holder.wait()
    assert said == [f"train k is being made by process {holder.pid}; waiting"]


class TestRuns:
    def test_a_run_is_written_read_and_listed(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        assert store.run_names() == []
        store.write_run("pocket-1", {"rows": [], "suite": "pocket"})
        assert store.read_run("pocket-1") == {"rows": [], "suite": "pocket"}
        assert store.run_names() == ["pocket-1"]
        with pytest.raises(UsageError, match="did you mean 'pocket-1'"):
            store.read_run("poket-1")

    @pytest.mark.parametrize("name", ["", "a/b", "..", "cache", ".tmp-x"])
    def test_a_name_that_cannot_be_a_folder_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError, match="run name"):
            Store(tmp_path).run_folder(name)

    def test_a_corrupt_run_record_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "run.json").write_text('{"half')
        with pytest.raises(StorageError, match=r"a/run\.json: not JSON"):
            Store(tmp_path).read_run("a")
        atomic_write_json(tmp_path / "a" / "run.json", {"x": 1})
        assert read_json(tmp_path / "a" / "run.json") == {"x": 1}
