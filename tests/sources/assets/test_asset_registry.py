"""Every entry says what it is for, under which licence and from where; the real mirror is as registered."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.sources.assets import Entry, asset, entries, find, plain_path, read_json, read_jsonl
from ropo_bench.sources.assets.lookup import content_hash

PINNED = re.compile(
    r"https://(raw\.githubusercontent\.com/[^/]+/[^/]+|huggingface\.co/datasets/.+/resolve)/[0-9a-f]{40}/.+"
)


@pytest.fixture(params=entries(), ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> Entry:
    found = request.param
    assert isinstance(found, Entry)
    return found


def test_every_entry_is_complete_and_pinned(entry: Entry) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.num_bytes > 0
    assert entry.licence.strip()
    assert entry.purpose.strip()
    assert not entry.name.endswith(".gz")
    for text in (entry.licence, entry.purpose, entry.change, entry.instead):
        assert "\n" not in text
        assert "  " not in text
    for url in (entry.source, entry.official_source):
        assert url is None or PINNED.fullmatch(url)


def test_every_entry_can_be_downloaded_or_says_why_not(entry: Entry) -> None:
    assert entry.source is not None or entry.change
    assert entry.url is not None or (entry.change and entry.instead)
    assert (entry.official_source is None) == (entry.official_sha256 is None)


def test_the_whole_mirror_is_as_registered(assets: Path, entry: Entry) -> None:
    found = find(entry)
    assert found is not None
    assert found[0] == "mirror"
    assert content_hash(found[1]) == entry.sha256
    assert len(read(found[1])) == entry.num_bytes


def test_every_benchmark_file_of_the_mirror_is_registered(assets: Path) -> None:
    manifest = json.loads((assets / "MANIFEST.json").read_text())
    external = {str(item["file"]).removesuffix(".gz") for item in manifest if isinstance(item["source"], dict)}
    assert external == {entry.name for entry in entries()}


def test_a_typing_error_is_met_with_the_right_name() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'mt_bench/question\.jsonl'"):
        asset("mt_bench/questions.jsonl")


def test_reading_by_name(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path))
    name = "commonsense/openbookqa/test.jsonl"
    plain = plain_path(name)
    assert plain == tmp_path / "assets" / name
    assert plain.read_bytes() == gzip.decompress((assets / f"{name}.gz").read_bytes())
    assert len(read_jsonl(name)) == 500
    plain.write_text("cut")
    assert plain_path(name).stat().st_size == 123259
    assert plain_path("mt_bench/question.jsonl") == assets / "mt_bench/question.jsonl"
    with pytest.raises(UsageError, match="not JSON"):
        read_json("mt_bench/question.jsonl")


def read(path: Path) -> bytes:
    """A file's content, gunzipped by hand."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data
