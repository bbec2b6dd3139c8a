"""The external benchmark files: registered with source, licence and hash, found or fetched, never shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.sources.assets.lookup import (
    cache_folder,
    content_hash,
    fetch,
    find,
    mirror_folder,
    read_bytes,
    use_mirror,
    write_whole,
)
from ropo_bench.sources.assets.registry import Entry, entries, entry, sha256
from ropo_bench.sources.assets.text_files import read_given
from ropo_bench.store.bounded import parse_json

__all__ = [
    "Entry",
    "asset",
    "cache_folder",
    "entries",
    "entry",
    "fetch",
    "find",
    "mirror_folder",
    "plain_path",
    "read_bytes",
    "read_given",
    "read_json",
    "read_jsonl",
    "read_text",
    "sha256",
    "use_mirror",
]


def asset(name: str) -> Path:
    """Verified local file of a registry entry, perhaps as NAME.gz: from the mirror, the cache, or its source.

    Raises UsageError in one line where it is absent and cannot be had, or has other content than registered.
    """
    return fetch(entry(name))


def plain_path(name: str) -> Path:
    """Verified local file that is not compressed, for readers that cannot gunzip; made in the cache if need be."""
    path = asset(name)
    if path.suffix != ".gz":
        return path
    target = cache_folder() / name
    if not target.is_file() or content_hash(target) not in entry(name).hashes:
        write_whole(target, read_bytes(path))
    return target


def read_text(name: str) -> str:
    """An asset's text."""
    return read_bytes(asset(name)).decode("utf-8")


def read_json(name: str) -> Any:
    """An asset's one JSON value."""
    return _parse(name, read_text(name))


def read_jsonl(name: str) -> list[dict[str, Any]]:
    """An asset's JSON objects, one a line."""
    return [_parse(name, line) for line in read_text(name).split("\n") if line.strip()]


def _parse(name: str, text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise UsageError(f"asset {name}: not JSON ({error}); read it with the function for its format") from None
