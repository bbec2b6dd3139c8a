"""lm-eval's definition of a task or group as plain data: its YAML over what that includes, and its members.

The rules are those of lm_eval.tasks (TaskFactory): what a group sets beside its own keys, every member inherits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from ropo_bench.errors import UsageError, first_line
from ropo_bench.recipes.files import suggest
from ropo_bench.recipes.lm_eval.index import Index

GROUP_KEYS = ("group", "group_alias", "task", "aggregate_metric_list", "metadata")
MAX_DEPTH = 20

Config = Mapping[str, Any]


class Function(str):
    """What `!function module.name` names, not imported; file: where the module lies beside the YAML."""

    file: Path

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Definition:
    """A task (members is None), or a group or tag of them. files: what it is written in, YAML and Python."""

    name: str
    config: Config
    files: frozenset[Path]
    members: tuple[Definition, ...] | None = None

    def tasks(self) -> dict[str, Definition]:
        """All tasks below, by name, in lm-eval's order."""
        if self.members is None:
            return {self.name: self}
        return {name: task for member in self.members for name, task in member.tasks().items()}

    def groups(self) -> Iterator[Definition]:
        """This group and those below; nothing of a task."""
        if self.members is not None:
            yield self
            for member in self.members:
                yield from member.groups()

    def all_files(self) -> frozenset[Path]:
        """Its files and its members'."""
        return self.files.union(*(member.all_files() for member in self.members or ()))


def define(names: Index, name: str, overrides: Config | None = None, depth: int = 0) -> Definition:
    """What lm-eval would make of a name; raises UsageError for an unknown one and for a file that is no YAML."""
    entry = names.get(name)
    if entry is None:
        raise UsageError(f"lm-eval has no task {name!r}; {suggest(name, names) or 'see: lm-eval ls tasks'}")
    if depth > MAX_DEPTH:
        raise UsageError(f"lm-eval group {name!r}: it is a member of itself")
    overrides = overrides or {}
    if entry.path is None:
        members = tuple(define(names, member, overrides, depth + 1) for member in entry.members)
        return Definition(name, {}, frozenset(), members)
    config, files = read(Path(entry.path))
    if entry.kind == "group":
        return _group(names, name, config, files, overrides, depth)
    config |= overrides
    return Definition(str(config.get("task", name)), config, files)


def _group(
    names: Index, name: str, config: Config, files: frozenset[Path], overrides: Config, depth: int
) -> Definition:
    inherited = {key: value for key, value in config.items() if key not in GROUP_KEYS} | dict(overrides)
    items = config.get("task")
    members = [_member(names, name, item, inherited, depth) for item in (items if isinstance(items, list) else ())]
    return Definition(name, config, files, tuple(members))


def _member(names: Index, group: str, item: Any, inherited: Config, depth: int) -> Definition:
    if isinstance(item, str):
        if item in names:
            return define(names, item, inherited, depth + 1)
        return Definition(f"{group}::{item}", inherited, frozenset())
    if "group" in item:
        name = item["group"]
        own = {key: value for key, value in item.items() if key != "group"}
        if name in names:
            return define(names, name, {**inherited, **own}, depth + 1)
        return _group(names, f"{group}::{name}", item, frozenset(), inherited, depth + 1)
    name, own = item["task"], {**inherited, **item}
    if name not in names:
        return Definition(f"{group}::{name}", own, frozenset())
    return define(names, name, own, depth + 1)


def read(path: Path, above: tuple[Path, ...] = ()) -> tuple[dict[str, Any], frozenset[Path]]:
    """A YAML over those that it includes, and all files that it is made of; raises UsageError."""
    if path in above:
        raise UsageError(f"{path}: includes itself")
    try:
        state = path.stat()
        parsed, own_files = _parse(path, state.st_mtime_ns, state.st_size)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read as lm-eval's YAML ({first_line(error)})") from None
    if not isinstance(parsed, dict):
        raise UsageError(f"{path}: not an lm-eval definition, which is a mapping of keys")
    own, files = dict(parsed), set(own_files)
    included: dict[str, Any] = {}
    paths = own.pop("include", None) or []
    for other in paths if isinstance(paths, list) else [paths]:
        data, more = read((path.parent / other).resolve(), (*above, path))
        data.pop("task_list", None)
        included |= data
        files |= more
    return included | own, frozenset(files)


@lru_cache(maxsize=4096)
def _parse(path: Path, changed: int, size: int) -> tuple[Any, frozenset[Path]]:
    """What one file holds, and the files that it names; read once for all stages that ask for its key."""
    loader = _Loader(path.read_text(encoding="utf-8"))
    loader.folder, loader.files = path.parent, {path}
    return loader.get_single_data(), frozenset(loader.files)


class _Loader(yaml.SafeLoader):
    folder: Path
    files: set[Path]

    def function(self, node: Any) -> Function:
        """A name, and the file that it is in noted."""
        value = Function(self.construct_scalar(node))
        module = value.rpartition(".")[0].replace(".", "/")
        value.file = (self.folder / f"{module}.py").resolve()
        if value.file.is_file():
            self.files.add(value.file)
        return value


_Loader.add_constructor("!function", _Loader.function)
