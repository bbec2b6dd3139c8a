"""JSON lines: torn ends, corrupt middles and failed appends."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.errors import StorageError
from ropo_bench.store import JsonLines


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    records = [{"text": 'line\nbreak "é" \u2028 \ud800 \0', "x": 0.1}, {"y": None}]
    with JsonLines(tmp_path / "a" / "r.jsonl") as lines:
        assert list(lines) == []
        for record in records:
            lines.append(record)
        assert list(lines) == records


@pytest.mark.parametrize("torn", [b'{"i":', b'{"i":2}', b"\0" * 700, b'{"i"\0\0\0}\n', b"\0\0\n\0\0", b"\xff"])
def test_a_torn_end_is_not_read_and_is_cut_by_the_next_append(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"i":0}\n{"i":1}\n' + torn)
    assert [r["i"] for r in JsonLines(path)] == [0, 1]
    assert path.read_bytes().endswith(torn), "reading changes nothing"
    with JsonLines(path) as lines:
        lines.append({"i": 2})
    assert path.read_bytes() == b'{"i":0}\n{"i":1}\n{"i":2}\n'


@pytest.mark.parametrize("bad", [b"{", b"\0\0", b"3", b'{"i":1}{"i":2}'])
def test_a_corrupt_middle_is_named_and_never_cut(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "r.jsonl"
    content = b'{"i":0}\n' + bad + b'\n{"i":2}\n'
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"r\.jsonl, line 2: .*delete the folder"):
        list(JsonLines(path))
    with pytest.raises(StorageError, match="line 2"), JsonLines(path) as lines:
        lines.append({"i": 3})
    assert path.read_bytes() == content


def test_a_failed_append_leaves_the_file_as_it_was(tmp_path: Path, small_file_limit: None) -> None:
    with JsonLines(tmp_path / "r.jsonl") as lines:
        lines.append({"i": 0})
        with pytest.raises(StorageError, match=r"r\.jsonl: File too large; .*ulimit"):
            lines.append({"text": "x" * (100 << 10)})
        lines.append({"i": 1})
    assert (tmp_path / "r.jsonl").read_bytes() == b'{"i":0}\n{"i":1}\n'
