"""From a name to code: short names of a table, and a user's module:object."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import suggest
from ropo_bench.recipes.method import OBJECT


def resolve_object(name: str, table: Mapping[str, Any], what: str = "name") -> Any:
    """The object behind a short name of the table, or behind "module:object"; imported on use.

    A value of the table may itself be "module:object". what: the noun for errors ("loss", "scorer").
    """
    target = table.get(name, name)
    if not isinstance(target, str):
        return target
    if not OBJECT.fullmatch(target):
        hint = suggest(name, table) or f"known: {', '.join(table)}"
        raise UsageError(f"unknown {what} {name!r}; {hint} (or give module:object)")
    module_name, _, attribute = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(f"{what} {name!r}: cannot import {module_name}: {error} (is it on PYTHONPATH?)") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            hint = suggest(part, vars(found)) or "check the spelling"
            raise UsageError(f"{what} {name!r}: {module_name} has no {attribute!r}; {hint}")
        found = getattr(found, part)
    return found


def module_of(name: object) -> str | None:
    """The module of a "module:object"; None for whatever else an option may hold, shipped files among it."""
    if not isinstance(name, str) or not OBJECT.fullmatch(name) or name.startswith(("pocket:", "asset:")):
        return None
    return name.partition(":")[0]
