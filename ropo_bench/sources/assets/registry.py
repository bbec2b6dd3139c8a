"""The external benchmark files: what each is for, where it is from, and what it must hold."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import suggest

REGISTRY = Path(__file__).with_name("registry.toml")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the mirror.

    name: its path below the mirror, without .gz. sha256, num_bytes: of the mirror's file, uncompressed. source:
    the public file that it is, or was made from, as a URL pinned by commit; None where no single public file is.
    change: how it differs from the source; "" is byte for byte. official_source, official_sha256: where it
    differs, the official file that is accepted in its place. instead: where the official data are otherwise.
    """

    name: str
    sha256: str
    num_bytes: int
    licence: str
    purpose: str
    source: str | None
    change: str = ""
    official_source: str | None = None
    official_sha256: str | None = None
    instead: str = ""

    @property
    def url(self) -> str | None:
        """Where it, or the official file in its place, can be downloaded; None where neither can."""
        return self.official_source if self.change else self.source

    @property
    def hashes(self) -> tuple[str, ...]:
        """sha256 of each content that is accepted."""
        return (self.sha256, self.official_sha256) if self.official_sha256 else (self.sha256,)


@cache
def _registry() -> Mapping[str, Entry]:
    tables = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))
    return {
        name: Entry(
            name=name,
            sha256=table.pop("sha256"),
            num_bytes=table.pop("bytes"),
            source=table.pop("source", None),
            **table,
        )
        for name, table in tables.items()
    }


def entries() -> Sequence[Entry]:
    """All entries, in the registry's order."""
    return tuple(_registry().values())


def entry(name: str) -> Entry:
    """The entry of that name; raises UsageError for an unknown one."""
    by_name = _registry()
    if name not in by_name:
        hint = suggest(name, by_name) or "`ropo-bench assets list` names all"
        raise UsageError(f"asset {name}: not in the registry; {hint}")
    return by_name[name]


def sha256(name: str) -> str:
    """sha256 of the mirror's file, by which an asset goes in content keys; it need not be here. Raises UsageError."""
    return entry(name).sha256
