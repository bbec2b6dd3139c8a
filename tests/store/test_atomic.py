"""Files and folders that are whole or absent, and what a failed write says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.errors import StorageError
from ropo_bench.store import Store, atomic_file, atomic_folder, atomic_write_json, atomic_write_text, storage_errors


def test_an_error_in_the_body_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
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


def test_a_folder_is_replaced_whole_or_kept(tmp_path: Path) -> None:
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


def test_a_file_where_a_folder_is_needed_is_told_with_its_mend(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match=r"runs/x: Not a directory; a file is where a folder .*--runs DIR"):
        atomic_write_json(tmp_path / "runs" / "x" / "run.json", {})
    store = Store(tmp_path / "runs")
    with (
        pytest.raises(StorageError, match="a file is where a folder is needed"),
        store.stage("a", "k").begin(),
    ):
        pass


def test_safetensors_tells_of_a_full_disk_as_text(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="No space left on device; free some space"),
        storage_errors(tmp_path),
    ):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), storage_errors(tmp_path):
        raise ValueError("mine")
