"""Where the numbers are from: the run record's provenance, and the footers of the table that name their subject."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ropo_bench.leaderboard.board import Leaderboard

_NAMED = re.compile(r"([a-z][^:;,]{2,60}): (.+)", re.DOTALL)


def facts(board: Leaderboard) -> list[tuple[str, str]]:
    """Name and text: footers such as "judge: gpt on chat", then the record's provenance, an entry a line."""
    named = [(match[1], match[2]) for footer in board.footers if (match := _NAMED.fullmatch(footer))]
    own = {name for name, _ in named}
    recorded = [(name.replace("_", " "), _text(name, value)) for name, value in board.provenance.items()]
    return [*named, *(fact for fact in recorded if fact[0] not in own)]


def is_fact(note: str) -> bool:
    """Whether a footer names its subject, so that it stands among the facts and not under the table."""
    return _NAMED.fullmatch(note) is not None


def _text(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(_parts(value)) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text("", item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / (1 << 30):.1f} GiB"
    return "unknown" if value is None else str(value)


def _parts(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        yield f"{name.removesuffix('_bytes').replace('_', ' ')} {_text(name, value)}"
