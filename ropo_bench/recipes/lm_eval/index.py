"""Which tasks, groups and tags lm-eval has: names found in its YAML files, kept for each version of lm-eval."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import yaml

from ropo_bench.errors import StorageError, UsageError
from ropo_bench.store.files import JSON, atomic_write_json, read_json, user_cache

FORM = 1  # of the kept index, and of the rules that it is made by
Kind = Literal["task", "group", "tag"]
HEAD = re.compile(
    r"""^["']?(task|group|class|tag|include)["']?[ \t]*:((?:.*)(?:\n(?:[ \t-].*|[ \t]*(?=\n)))*)""", re.MULTILINE
)
PLAIN = re.compile(r"[\w.+-]*[A-Za-z_][\w.+-]*")
IGNORED = ("__pycache__", ".ipynb_checkpoints")


@dataclass(frozen=True, slots=True)
class Entry:
    """One name. path: its YAML, None for a tag. members: the tasks that have the tag, sorted."""

    kind: Kind
    path: str | None
    members: tuple[str, ...] = ()


Index = Mapping[str, Entry]


def index(include_path: str | None = None) -> dict[str, Entry]:
    """Every name of the installed lm-eval, and of a folder of the user's own, which wins; raises UsageError."""
    entries = dict(_read_shipped(user_cache()))
    if include_path is not None:
        folder = Path(include_path).expanduser()
        if not folder.is_dir():
            raise UsageError(f"options.include_path: no such folder: {include_path}")
        entries |= scan(folder.resolve())
    return entries


def root() -> Path:
    """The folder of lm-eval's own definitions; found without importing it."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise UsageError("lm-eval is not installed; pip install 'lm-eval[hf]'")
    return Path(spec.origin).resolve().parent / "tasks"


@cache
def _read_shipped(folder: Path) -> dict[str, Entry]:
    """lm-eval's own names; a scan reads 14,000 files, so that it is kept in `folder`."""
    own = root()
    made_of: dict[str, JSON] = {"form": FORM, "root": str(own), "changed": own.stat().st_mtime_ns}
    kept = folder / "lm-eval" / f"tasks-{version('lm_eval')}.json"
    try:
        record = read_json(kept) if kept.is_file() else {}
        if record.get("of") == made_of:
            return {name: _entry(fields) for name, fields in record["names"].items()}
    except (StorageError, OSError, AttributeError, KeyError, TypeError):
        pass  # it is made again
    entries = scan(own)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(kept, {"of": made_of, "names": {name: asdict(entry) for name, entry in entries.items()}})
    except (StorageError, OSError):
        pass  # a cache that cannot be written is only slower
    return entries


def _entry(fields: Mapping[str, Any]) -> Entry:
    return Entry(fields["kind"], fields["path"], tuple(fields["members"]))


def scan(folder: Path) -> dict[str, Entry]:
    """Names in the YAML files below a folder; of two files with one name the first in order has it, as in lm-eval."""
    entries: dict[str, Entry] = {}
    tags: dict[str, set[str]] = {}
    for path in _yaml_files(folder):
        head = _head(path)
        kind: Kind = "group" if "group" in head and "class" not in head else "task"
        name = _scalar(head.get(kind))
        if name is None or name in entries:
            continue
        entries[name] = Entry(kind, str(path))
        for tag in _words(head.get("tag")) if kind == "task" else ():
            if entries.setdefault(tag, Entry("tag", None)).kind == "tag":
                tags.setdefault(tag, set()).add(name)
    return entries | {tag: Entry("tag", None, tuple(sorted(names))) for tag, names in tags.items()}


def _yaml_files(folder: Path) -> Iterator[Path]:
    files = (path for path in folder.glob("**/*.yaml") if not any(part in IGNORED for part in path.parts))
    yield from sorted(files, key=Path.as_posix)


def _head(path: Path, above: Sequence[Path] = ()) -> dict[str, str]:
    """The texts of the keys that name a definition, with those of the files that it includes."""
    if path in above:
        return {}
    try:
        own = dict(HEAD.findall(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return {}
    included: dict[str, str] = {}
    for other in _words(own.pop("include", None)):
        included |= _head(path.parent / other, (*above, path))
    return included | own


def _scalar(text: str | None) -> str | None:
    if text is None:
        return None
    if PLAIN.fullmatch(text.strip()):
        return text.strip()
    value = _value(text)
    return value if isinstance(value, str) else None


def _words(text: str | None) -> list[str]:
    value = None if text is None else _value(text)
    return [value] if isinstance(value, str) else [word for word in value or () if isinstance(word, str)]


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(f"value:{text}")["value"]
    except yaml.YAMLError:
        return None
