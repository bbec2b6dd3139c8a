"""Content keys: what changes them, and what does not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.store import canonical_json, content_key, file_hash, folder_hash, source_hash


def test_key_does_not_depend_on_the_order_of_inputs() -> None:
    assert content_key("train", {"a": 1, "b": [2.5, None]}) == content_key("train", {"b": [2.5, None], "a": 1})
    assert len(content_key("train", {})) == 16


def test_key_depends_on_stage_and_every_input() -> None:
    keys = {content_key(s, {"lr": lr}) for s in ("train", "merge") for lr in (1e-4, 1e-5)}
    assert len(keys) == 4


def test_canonical_json_worked_example() -> None:
    assert canonical_json({"b": "é", "a": [1, 1e-05]}) == '{"a":[1,1e-05],"b":"\\u00e9"}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_source_hash_changes_with_a_source_file_of_a_package_and_with_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_now() -> str:
        source_hash.cache_clear()
        return source_hash("hashed")

    code = tmp_path / "hashed"
    (code / "deep").mkdir(parents=True)
    (code / "__init__.py").write_text("")
    (code / "deep" / "a.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = hash_now()
    (code / "notes.txt").write_text("not code")
    assert hash_now() == before
    (code / "deep" / "a.py").write_text("x = 2\n")
    assert hash_now() != before


def test_source_hash_of_a_module_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "explosive"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "part.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert source_hash("explosive.part") != source_hash("explosive")
    with pytest.raises(UsageError, match=r"explosive\.absent"):
        source_hash("explosive.absent")


def test_file_hash_is_sha256_and_sees_a_change_of_equal_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"a" * (2 << 20))
    cache = tmp_path / "cache"
    first = file_hash(path, cache)
    assert first == file_hash(path)
    assert not cache.exists(), "a file younger than the clock's tick must not be remembered"
    time.sleep(2.1)
    assert file_hash(path, cache) == first
    with monkeypatch.context() as blind:
        blind.setattr("ropo_bench.store.keys.sha256_of", lambda path: "read again")
        assert file_hash(path, cache) == first, "a remembered file is not read again"
    (entry,) = cache.iterdir()
    for damaged in ("", "remembered\n", entry.read_text().replace(first[0], "x", 1)):
        entry.write_text(damaged)
        assert file_hash(path, cache) == first, "a damaged memory is no hash"
    times = path.stat()
    path.write_bytes(b"b" * (2 << 20))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file_hash(path, cache) != first, "changed, although its old time was put back"


def test_folder_hash_counts_names_and_contents_but_no_hidden_files(tmp_path: Path) -> None:
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
