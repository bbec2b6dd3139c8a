"""A file that a command cannot read gets one line: where, what, and how to mend it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ropo_bench.commands.app import app
from ropo_bench.errors import UsageError
from ropo_bench.sources.assets import read_given

FAULTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "missing": ("no such file; give ", lambda path: None),
    "folder": ("a folder, not a file; give ", Path.mkdir),
    "binary": ("not UTF-8 text (byte 3); give ", lambda path: path.write_bytes(b"PNG\x80\x00\xff")),
    "empty": ("the file is empty; give ", lambda path: path.write_bytes(b"")),
    "blank": ("the file is empty; give ", lambda path: path.write_bytes(b"\xef\xbb\xbf \n\n")),
    "truncated": ("not a whole gzip file (", lambda path: path.write_bytes(gzip.compress(b'{"a": 1}\n' * 99)[:-9])),
}
COMMANDS = [
    "score diversity FILE",
    "score alpaca-eval FILE",
    "score mt-bench FILE",
    "score mt-bench FILE --pairwise",
    "judge calibrate FILE --against FILE",
]


def message_of(command: str, path: Path) -> str:
    arguments = [str(path) if word == "FILE" else word for word in command.split()]
    caught = CliRunner().invoke(app, arguments).exception
    assert isinstance(caught, UsageError)
    assert "\n" not in str(caught)
    assert "Errno" not in str(caught)
    return str(caught)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_none_is_told_in_one_line(command: str, fault: str, tmp_path: Path) -> None:
    message, make = FAULTS[fault]
    path = tmp_path / "given"
    make(path)
    assert message_of(command, path).startswith(f"{path}: {message}")


@pytest.mark.parametrize("fault", ["missing", "folder", "binary", "empty"])
@pytest.mark.parametrize("command", ["eval pocket:sft --name x --judge FILE", "plan --judge FILE"])
def test_a_judge_that_is_none_is_told_where_no_task_asks_one(command: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "given.yaml"
    FAULTS[fault][1](path)
    message = message_of(command, path)
    assert "given.yaml: " in message
    assert "; " in message  # with the mend


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: None])
def test_a_model_folder_that_is_none(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "given")
    message = message_of("score commonsense FILE", tmp_path / "given")
    assert message.startswith(f"model {tmp_path / 'given'}: ")
    assert "; give a Hugging Face model folder" in message


def test_binary_preference_data_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "given.jsonl"
    path.write_bytes(b"PNG\x80\x00\xff\n")
    message = message_of(f"run --methods dpo --runs {tmp_path} --data FILE", path)
    assert "is not UTF-8 text" in message


def test_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "given"  # gzipped files are known by their first bytes too
    path.write_bytes(gzip.compress("\ufeffcafé\n".encode()))
    assert read_given(path, "a text") == "café\n"
