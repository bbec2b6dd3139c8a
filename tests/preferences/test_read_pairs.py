"""Preference files of every kind, read back; and every way in which a file can be bad."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.preferences import LeftOut, read_pairs
from ropo_bench.types import Message, Pair

Record = dict[str, Any]


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", content=text)


TWO_PROMPTS = {"chosen": [user("a"), assistant("b")], "rejected": [user("A"), assistant("c")]}


def records(count: int) -> list[Record]:
    return [{"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(count)]


def write(path: Path, rows: list[Any]) -> Path:
    if path.suffix == ".parquet":
        from pyarrow import Table, parquet

        parquet.write_table(Table.from_pylist(rows), path)
        return path
    lines = path.name.removesuffix(".gz").endswith(".jsonl")
    body = "".join(json.dumps(row) + "\n" for row in rows) if lines else json.dumps(rows, indent=1)
    data = body.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.json.gz", "a.parquet"])
def test_every_kind_of_file_holds_the_same_pairs(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, records(3))
    read = read_pairs(path)
    assert read.pairs == [Pair(str(i + 1), (user(f"question {i}"),), f"good {i}", f"bad {i}") for i in range(3)]
    assert read.left_out == []
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.source == str(path)


def test_parquet_holds_conversations_too(tmp_path: Path) -> None:
    pair = Pair("1", (user("a"), assistant("b"), user("c")), "d", "e")
    conversations = {k: [*pair.prompt, assistant(getattr(pair, k))] for k in ("chosen", "rejected")}
    assert read_pairs(write(tmp_path / "a.parquet", [conversations])).pairs == [pair]


@pytest.mark.parametrize(
    ("own", "expected"),
    [(["x", "y"], ["x", "y"]), ([7, 8], ["7", "8"]), (["x", "x"], ["1", "2"]), (["x", None], ["1", "2"])],
)
def test_ids_are_the_records_own_where_they_tell_them_apart(
    tmp_path: Path, own: list[Any], expected: list[str]
) -> None:
    rows = [record | {"id": id} for record, id in zip(records(2), own, strict=True)]
    assert [pair.id for pair in read_pairs(write(tmp_path / "a.jsonl", rows)).pairs] == expected


def test_up_to_one_percent_is_left_out_with_ids_and_reasons(tmp_path: Path) -> None:
    lines = [json.dumps(record) for record in records(300)]
    lines[4] = '{"prompt": "cut off'
    lines[20] = json.dumps(TWO_PROMPTS)
    path = tmp_path / "a.jsonl"
    path.write_text("\n\n".join(lines), encoding="utf-8")  # empty lines count as lines, not as records
    read = read_pairs(path)
    assert len(read.pairs) == 298
    assert [id for id, _ in read.left_out] == ["9", "41"]
    assert read.left_out[0].reason.startswith("is no valid JSON")
    assert read.left_out[1] == LeftOut("41", "chosen and rejected do not share their prompt")


def test_more_than_one_percent_is_a_usage_error_naming_the_first(tmp_path: Path) -> None:
    rows: list[Any] = records(399)
    for i in (3, 50, 77, 200):
        rows[i] = {"prompt": "a", "chosen": "b"}
    with pytest.raises(UsageError) as caught:
        read_pairs(write(tmp_path / "a.jsonl", rows))
    message = str(caught.value)
    assert "a.jsonl: 4 of 399 records are no usable pair, more than 1 %" in message
    assert "pair 4: has no 'rejected'" in message
    assert "and 1 more" in message
    assert "\n" not in message
    assert caught.value.exit_code == 2
    rows.append(records(1)[0])  # 4 of 400 is 1 % and no more
    assert len(read_pairs(write(tmp_path / "b.jsonl", rows)).left_out) == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "holds no preference pairs"),
        ("a.json", b"[]", "holds no preference pairs"),
        ("a.json", b'[{"prompt": "a"', "cannot be read"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
        ("a.jsonl.gz", gzip.compress(b"{}" * 999, mtime=0)[:-9], "cannot be read"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.csv", b"a,b", "not a known kind of file"),
        ("a.jsonl", b"\xff\xfe\xfa\n", "1 of 1 records are no usable pair"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_pairs(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["missing.jsonl", "data/missing.json", "just-a-word", "/nowhere/at/all"])
def test_a_missing_file_is_no_hub_id(source: str) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_pairs(source)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        read_pairs(tmp_path)


def test_a_hub_data_set_goes_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` stands for the hub here: name, revision and split reach it, its rows come back as pairs."""
    import datasets

    asked: list[tuple[Any, ...]] = []

    def load(name: str, revision: str | None, split: str) -> Any:
        asked.append((name, revision, split))
        return datasets.Dataset.from_list(records(2))

    monkeypatch.setattr(datasets, "load_dataset", load)
    first, second = read_pairs("owner/some-data@v1.0:train_prefs"), read_pairs("owner/some-data")
    assert asked == [("owner/some-data", "v1.0", "train_prefs"), ("owner/some-data", None, "train")]
    assert [pair.chosen for pair in first.pairs] == ["good 0", "good 1"]
    assert first.sha256 == second.sha256


def test_an_unreachable_hub_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach the Hub\nwith details")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(UsageError, match="no such file, and the hub data set cannot be loaded") as caught:
        read_pairs("owner/some-data")
    assert "\n" not in str(caught.value)


# --- real data ------------------------------------------------------------------------------------------


@pytest.fixture
def real() -> Path:
    if "ROPO_BENCH_ASSETS" not in os.environ:
        pytest.skip("ROPO_BENCH_ASSETS is not set: no real preference data here")
    return Path(os.environ["ROPO_BENCH_ASSETS"]) / "preference"


def test_real_hh_rlhf(real: Path) -> None:
    read = read_pairs(real / "hh_rlhf_harmless_base_test.part1.jsonl.gz")
    assert len(read.pairs) == 2008
    assert [id for id, _ in read.left_out] == ["1463", "1695", "1697", "1773"]
    assert all("chosen and rejected do not share their prompt" in reason for _, reason in read.left_out)
    for pair in read.pairs:
        roles = [message["role"] for message in pair.prompt]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


def test_real_llama_factory(real: Path) -> None:
    read = read_pairs(real / "llama_factory_dpo_en_demo.json.gz")
    assert len(read.pairs) == 300
    assert read.left_out == []
    assert sum(pair.prompt[0]["role"] == "system" for pair in read.pairs) == 80
