"""Two requests side by side: what a run of the second under the first one's name would lose of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ropo_bench.comparison.rows import differing

Plain = Mapping[str, Any]
GROWS = {"tasks", "seeds"}  # of a suite: told of the request itself
SHOWN = {"description"}  # is no setting


def what_is_lost(before: Plain, now: Plain) -> str | None:
    """The first thing of a request (as in a run's record) that another one has not, or has otherwise; None: nothing.

    More methods, checkpoints, tasks or seeds are no loss, and neither are canaries that were not asked for before.
    """
    changed = _setting("suite", _without(before["suite"], GROWS), _without(now["suite"], GROWS))
    for what in ("tasks", "methods"):
        changed = changed or _part(what.removesuffix("s"), _by_name(before[what]), _by_name(now[what]))
    for what in ("judges", "checkpoints"):
        changed = changed or _part(what.removesuffix("s"), before[what], now[what])
    changed = changed or _seeds(before, now)
    if changed is None and before["canaries"] and not now["canaries"]:
        changed = "canaries yes | no"
    return changed or _rates(before.get("rates") or {}, now.get("rates") or {})


def _by_name(recipes: Sequence[Plain]) -> Plain:
    return {recipe["name"]: recipe for recipe in recipes}


def _without(value: Plain, keys: set[str]) -> Plain:
    return {key: item for key, item in value.items() if key not in keys}


def _part(what: str, before: Plain, now: Plain) -> str | None:
    """The first named part that is not there any more, or is another."""
    for name, value in before.items():
        if name not in now:
            return f"it has {what} {name}, this has not"
        changed = _setting(f"{what} {name}", value, now[name])
        if changed is not None:
            return changed
    return None


def _setting(what: str, before: Any, now: Any) -> str | None:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        before, now = _without(before, SHOWN), _without(now, SHOWN)
    return None if before == now else f"{what}: {differing(before, now)}"


def _seeds(before: Plain, now: Plain) -> str | None:
    first, now_first = before.get("first_seed", 0), now["first_seed"]
    last, now_last = first + before["seeds"] - 1, now_first + now["seeds"] - 1
    if not before["methods"] or (now_first <= first and last <= now_last):
        return None
    return f"seeds {first} to {last} | {now_first} to {now_last}"


def _rates(before: Plain, now: Plain) -> str | None:
    """How learning rates were chosen; rows beside a chosen rate are methods, and told there."""
    changed = before.get("how") != now.get("how") or (before.get("tuning") and before["tuning"] != now.get("tuning"))
    return f"rates {before.get('how')} | {now.get('how')}" if changed else None
