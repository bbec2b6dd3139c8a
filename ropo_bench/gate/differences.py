"""What is different since the baseline: commits, packages, hardware, and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ropo_bench.gate.night import Night


class Change(NamedTuple):
    """A fact that is not the same in two nights, before and after; "-" where a night lacks it."""

    what: str
    before: str
    now: str


def differences(before: Night, now: Night) -> list[Change]:
    """Facts of provenance and recipes that differ; recipes only where both nights have them. Times are no facts."""
    old, new = _flat(before.provenance), _flat(now.provenance)
    if before.recipes and now.recipes:
        old |= {f"recipe: {name}": text for name, text in before.recipes.items()}
        new |= {f"recipe: {name}": text for name, text in now.recipes.items()}
    names = [name for name in dict.fromkeys([*old, *new]) if name != "time_utc"]
    return [Change(n, old.get(n, "-"), new.get(n, "-")) for n in names if old.get(n) != new.get(n)]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    texts: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            texts |= _flat(item, f"{prefix}{key}: ")
        else:
            texts[f"{prefix}{key}"] = ", ".join(map(str, item)) if isinstance(item, list) else str(item)
    return texts
