"""What may not be published is told from what may, and scores are numbers only."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.errors import StorageError
from ropo_bench.publishing.names import OWN_SERVER, is_local, keys_in, paths_in, public_name, without
from ropo_bench.publishing.scores import from_bytes, numbers_only, published_scores, to_bytes
from ropo_bench.types import Score


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("base /home/me/models/llama", ["/home/me/models/llama"]),
        ("~/models/x and file:///tmp/y", ["~/models/x", "file:///tmp/y"]),
        (r"C:\Users\me", [r"C:\Users\me"]),
        ("cannot be read:/home/me/x", ["/home/me/x"]),
        ("accuracy/boolq rewards/chosen 6.8/10 https://api.openai.com/v1/chat", []),
        ("princeton-nlp/Llama-3-Base-8B-SFT pocket:sft ropo_bench.pocket.judge:grade_turns", []),
    ],
)
def test_paths_of_a_machine_are_told_from_other_names(text: str, found: list[str]) -> None:
    assert paths_in(text) == found


def test_keys_are_told_from_other_words() -> None:
    keys = ["sk-proj-abcdefghij0123456789", "hf_" + "a" * 30, "ghp_" + "b" * 36, "AKIA" + "Q" * 16,
            "Bearer abcdefghijklmnop0123", "https://me:secret@judge.example.org/v1",
            "-----BEGIN RSA PRIVATE KEY"]  # fmt: skip
    for key in keys:
        (shown,) = keys_in(f"x {key} y")
        assert key not in shown
    assert keys_in("task-energy sk-1 1b87905b23760a55cf830e2422d2b8e221840a3a OPENAI_API_KEY bearer of news") == []


def test_local_files_are_told_from_hub_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/pairs.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert is_local(str(tmp_path))
    assert is_local("data/pairs.jsonl")
    assert is_local("../x")
    assert not is_local("A sentence. " * 30)  # longer than a file's name may be
    for name in ("org/model", "pocket:sft", "hf", "HuggingFaceH4/ultrafeedback_binarized:train_prefs"):
        assert not is_local(name)
    assert without({"a": ["/x/y/z of /x/y"]}, {"/x/y": "y", "/x/y/z": "z"}) == {"a": ["z of y"]}


def test_scores_come_back_in_their_own_order() -> None:
    given = [
        Score("b", "b", "m", 0.1 + 0.2, detail={"turn": 1}),
        Score("a", "p", "m", None, "unparsable"),
        Score("a", "p", "other", 3),
    ]
    again = [Score("a", "p", "m", 2.0, detail={"length_delta": 3}), Score("a", "p", "m", 4.0)]  # an item twice
    scores = published_scores({"t": {"row": [given, given[:1]], "other": [again]}}, {"t": {"m"}})
    data = to_bytes(scores)
    assert from_bytes(data, "here") == {"t": {"row": [given[:2], given[:1]], "other": [again]}}
    assert data[4:8] == bytes(4)  # no time in it
    assert to_bytes(from_bytes(data, "here")) == data
    spoiled = bytearray(data)
    spoiled[20:30] = bytes(10)
    for wrong in (data[:-9], bytes(spoiled)):
        with pytest.raises(StorageError, match="here: not a file of scores"):
            from_bytes(wrong, "here")


def test_texts_are_not_numbers() -> None:
    detail = {"problem": "no verdict", "category": "writing", "length_delta": -3, "kind": "a\nb", "prediction": 2}
    kept = numbers_only(Score("Write a poem\nabout it", "Write a poem", "m", 1.0, detail=detail))
    assert kept.detail == {"category": "writing", "length_delta": -3}
    assert kept.item.startswith("sha256-")
    assert " " not in kept.cluster
    assert kept.item != kept.cluster


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("http://localhost:8000/v1", OWN_SERVER), ("http://10.0.0.7/v1", OWN_SERVER),
        ("http://[::1]:8000/v1", OWN_SERVER), ("https://judge.team.internal/v1", OWN_SERVER),
        ("http://node17:8000/v1", OWN_SERVER), ("https://api.openai.com/v1", None), ("data/pairs.jsonl", None),
        ("http:// is how it begins", None), ("/home/me/pairs.jsonl", "pairs.jsonl"),
    ],
)  # fmt: skip
def test_a_server_of_one_s_own_is_not_named(text: str, name: str | None) -> None:
    assert public_name(text) == name
