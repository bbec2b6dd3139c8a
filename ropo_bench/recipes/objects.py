"""From a name to code: short names of a table, and a user's module:object or file.py:object."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import suggest
from ropo_bench.recipes.method import OBJECT


def resolve_object(name: str, table: Mapping[str, Any], what: str = "name") -> Any:
    """The object behind a short name of the table, or behind "module:object" or "file.py:object"; imported on use.

    A value of the table may itself be "module:object". what: the noun for errors ("loss", "scorer").
    """
    target = table.get(name, name)
    if not isinstance(target, str):
        return target
    if not OBJECT.fullmatch(target):
        hint = suggest(name, table) or f"known: {', '.join(table)}"
        raise UsageError(f"unknown {what} {name!r}; {hint} (or give module:object, or file.py:object)")
    module_name, _, attribute = target.partition(":")
    try:
        value: Any = import_code(module_name)
    except ImportError as error:
        raise UsageError(f"{what} {name!r}: cannot import {module_name}: {error} (is it on PYTHONPATH?)") from error
    for part in attribute.split("."):
        if not hasattr(value, part):
            hint = suggest(part, vars(value)) or "check the spelling"
            raise UsageError(f"{what} {name!r}: {module_name} has no {attribute!r}; {hint}")
        value = getattr(value, part)
    return value


def import_code(module: str) -> ModuleType:
    """A module by its name, or a file by its path, once a process; raises ImportError."""
    if not module.endswith(".py"):
        return importlib.import_module(module)
    path = Path(module).expanduser().resolve()
    name = f"ropo_bench_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"no such file {path}")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    sys.path.insert(0, str(path.parent))  # what lies beside it can be imported, as of a script
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.parent))
    return loaded


def module_of(name: object) -> str | None:
    """The module or file of a "module:object"; None for whatever else an option may hold, shipped files among it."""
    if not isinstance(name, str) or not OBJECT.fullmatch(name) or name.startswith(("pocket:", "asset:")):
        return None
    return name.partition(":")[0]
