"""Recipe files: where they lie, and reading one strictly, each key with the line that it came from."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from ropo_bench.errors import UsageError
from ropo_bench.recipes.plugins import plugin_folders
from ropo_bench.store.bounded import MAX_INTEGER, read_bounded

Kind = Literal["methods", "tasks", "suites", "judges"]
KeyPath = tuple[str | int, ...]
MAX_DEPTH = 8  # recipes nest four deep; an alias that contains itself would nest for ever
HOPELESS_DEPTH = 100
MAX_CHARACTERS = 64 * 1024  # the largest shipped recipe has 4,000
MAX_PIECES = 4000  # lines and commas: the parser reads some two thousand values a second
MAX_VALUES = 10_000  # with aliases written out: ten lines of aliases of aliases are billions
HALF_CHARACTER = re.compile(r"[\ud800-\udfff]|\\(u|U0000)[dD][89a-fA-F]")
"""UTF-16's halves, themselves or as an escape: no text that can be printed or written has them."""
MAPPING, SEQUENCE = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
NAME_RULE = "letters, digits, '.', '_', '+' and '-', beginning with a letter or digit, 64 at most"
REFERENCE_ROW = "SFT"  # the base model's row, which every table has


def check_row_name(name: str, where: str) -> None:
    """Raise UsageError for what cannot be a row's name: it becomes part of paths, tables and terminals' lines."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{where}: the name {in_words(name)} is no row's: use {NAME_RULE}")
    if name == REFERENCE_ROW:
        raise UsageError(f"{where}: {REFERENCE_ROW} is the base model's own row; choose another name")


@dataclass(frozen=True)
class Layer:
    """Settings as plain data, and for each key path the place that errors name ("file:line", "--set ...")."""

    data: dict[str, Any]
    origins: Mapping[KeyPath, str]


def shipped_folder(kind: Kind) -> Path:
    """The project's own recipes: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_recipes" / kind
    return installed if installed.is_dir() else package.parent / kind


def list_recipes(kind: Kind, include: Sequence[str | Path] = ()) -> dict[str, Path]:
    """All recipes by name: the project's own first, then installed plugins', then included folders', each sorted.

    An included folder holds DIR/methods/, DIR/tasks/ and DIR/suites/, or just methods: DIR/*.yaml.
    Raises UsageError for an absent or empty folder and for two recipes of one name.
    """
    paths: dict[str, Path] = {}
    plugins = [folder / kind for folder in plugin_folders().values()]
    for folder in (shipped_folder(kind), *plugins, *(_include(kind, Path(folder)) for folder in include)):
        for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem):
            if path.stem in paths and path.resolve() != paths[path.stem].resolve():
                raise UsageError(f"{display_path(path)}: {paths[path.stem]} has the same name; rename one of them")
            paths[path.stem] = path
    return paths


def _include(kind: Kind, folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"--include {folder}: no such folder")
    if not (any(folder.glob("*.yaml")) or any(folder.glob("*/*.yaml"))):
        raise UsageError(f"--include {folder}: no recipe in it; expected methods/*.yaml, tasks/*.yaml or *.yaml")
    flat = kind == "methods" and not (folder / kind).is_dir()
    return folder if flat else folder / kind


def find(kind: Kind, name: str | Path, include: Sequence[str | Path] = ()) -> Path:
    """The file of a recipe given by name, or by a path (which ends in .yaml or has a slash)."""
    text = str(name)
    if isinstance(name, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        return Path(name)
    paths = list_recipes(kind, include)
    if text not in paths:
        hint = suggest(text, paths) or f"known: {', '.join(paths)}"
        raise UsageError(f"unknown {kind[:-1]} {text!r}; {hint} (or give a file's path, or --include a folder)")
    return paths[text]


def suggest(word: str, choices: Iterable[str]) -> str:
    """ "did you mean ...?" for the nearest known word, or the empty text."""
    near = difflib.get_close_matches(word, list(choices), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def display_path(path: Path) -> str:
    """A path as errors print it: relative to the working folder where it lies below."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)


def in_words(value: object) -> str:
    """A value as YAML would write it, cut to 60 characters."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def parse_yaml(text: str, place: Callable[[int], str]) -> tuple[Any, dict[KeyPath, int]]:
    """YAML 1.2 as plain data, with the line of every key; place(line) is what errors name."""
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"{place(1)}: {len(text):,} characters; a recipe has at most {MAX_CHARACTERS:,}")
    pieces = text.count("\n") + text.count(",")
    if pieces > MAX_PIECES:
        raise UsageError(f"{place(1)}: {pieces:,} lines and commas; a recipe has at most {MAX_PIECES:,}")
    if _is_deep(text):
        raise UsageError(f"{place(1)}: nested more than {MAX_DEPTH} deep")
    if HALF_CHARACTER.search(text):
        raise UsageError(f"{place(1)}: half of a character (\\ud800 to \\udfff); write the character itself")
    yaml = YAML(typ="safe", pure=True)
    lines: dict[KeyPath, int] = {}
    try:
        node = yaml.compose(text)
        if node is None:
            return None, lines
        _collect_lines(node, (), lines, place)
        _check_scalars(yaml, node, place)
        return yaml.load(text), lines
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        source = text.splitlines()[line - 1 : line]
        tab = "; it holds a tab, and YAML indents with spaces" if source and "\t" in source[0] else ""
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise UsageError(f"{place(line)}: not YAML: {reason}{tab}") from None
    except RecursionError:
        raise UsageError(f"{place(1)}: nested more than {MAX_DEPTH} deep") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{place(line)}: not YAML: a control character") from None


def _is_deep(text: str) -> bool:
    """Whether a text is nested far beyond any recipe: the parser takes minutes to find that out by itself."""
    depth = 0
    for mark in re.findall(r"[\[\]{}]", text):
        depth = depth + 1 if mark in "[{" else max(0, depth - 1)
        if depth > HOPELESS_DEPTH:
            return True
    return re.search(rf"(?:[-?:] +){{{HOPELESS_DEPTH}}}", text) is not None


def _check_scalars(yaml: YAML, node: Node, place: Callable[[int], str]) -> None:
    """Raise UsageError for a value that its tag or form promises and does not hold (`!!int abc`, 2026-13-45), and
    for a number that nothing can hold; a tree that _collect_lines has bounded."""
    for part in _parts(node):
        where = place(part.start_mark.line + 1)
        shown_value = in_words(part.value) if isinstance(part, ScalarNode) else str(part.tag)
        try:
            value = yaml.constructor.construct_object(part, deep=True)
        except MarkedYAMLError:
            raise
        except Exception as error:  # whatever int(), float() and datetime raise for such a text
            raise UsageError(f"{where}: {shown_value} is no {part.tag} ({error}); write it in quotes") from None
        too_large = isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER
        if too_large or (isinstance(value, float) and not isfinite(value)):
            raise UsageError(f"{where}: {shown_value} is not a number that can be used; give a finite one")


def _parts(node: Node) -> Iterator[Node]:
    """Every scalar below a node, and every other node with a tag of its own."""
    if isinstance(node, MappingNode | SequenceNode):
        if node.tag not in (MAPPING, SEQUENCE):
            yield node
        for item in node.value:
            yield from _parts(item[1] if isinstance(item, tuple) else item)  # keys are text, or the merge key
    else:
        yield node


def _collect_lines(node: Node, at: KeyPath, lines: dict[KeyPath, int], place: Callable[[int], str]) -> None:
    if len(lines) > MAX_VALUES:
        raise UsageError(f"{place(1)}: more than {MAX_VALUES:,} values (aliases count where they are used)")
    if len(at) > MAX_DEPTH:
        raise UsageError(f"{place(node.start_mark.line + 1)}: nested more than {MAX_DEPTH} deep")
    if isinstance(node, MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not str(key.tag).endswith((":str", ":merge")):
                raise UsageError(f"{place(line)}: a key must be text; put it in quotes if it is meant")
            path = (*at, key.value)
            if path in lines:
                raise UsageError(f"{place(line)}: duplicate key {key.value!r} (first on line {lines[path]})")
            lines[path] = line
            _collect_lines(value, path, lines, place)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            lines[*at, index] = value.start_mark.line + 1
            _collect_lines(value, (*at, index), lines, place)


def read_file(path: Path) -> Layer:
    """One recipe file, not yet merged with what it inherits; raises UsageError with file and line."""
    where = display_path(path)
    try:
        text = read_bounded(path, 4 * MAX_CHARACTERS).decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{where}: no such file; give the path of a YAML recipe") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except ValueError as error:
        raise UsageError(f"{where}: {error}; give a YAML recipe") from None
    except OSError as error:
        mend = "give a YAML recipe" if path.is_dir() else "check its permissions"
        raise UsageError(f"{where}: cannot be read ({error.strerror}); {mend}") from None
    data, lines = parse_yaml(text, lambda line: f"{where}:{line}")
    if data is None:
        raise UsageError(f"{where}: the file is empty; give a YAML recipe")
    if not isinstance(data, dict):
        raise UsageError(f"{where}:1: a recipe is a mapping of keys, given {in_words(data)}")
    return Layer(data, {at: f"{where}:{line}" for at, line in lines.items()})


def overlay(below: Layer, above: Layer) -> Layer:
    """Deep merge: mappings key by key, everything else replaced by the layer above."""
    return Layer(_merge(below.data, above.data), {**below.origins, **above.origins})


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def read_recipe(kind: Kind, path: Path, include: Sequence[str | Path] = (), chain: tuple[Path, ...] = ()) -> Layer:
    """A recipe file over all that it inherits; its name and description are always its own.

    `inherit:` takes a recipe's name, or a path relative to the file. Raises UsageError for a circle.
    """
    layer = read_file(path)
    where = layer.origins.get(("inherit",), display_path(path))
    if "name" in layer.data:
        raise UsageError(f"{layer.origins['name',]}: name: a recipe is named by its file; remove this key")
    parent = layer.data.pop("inherit", None)
    if parent is None:
        return layer
    if not isinstance(parent, str):
        raise UsageError(f"{where}: inherit: must be the name of one recipe, given {in_words(parent)}")
    chain = (*chain, path.resolve())
    try:
        above = find(kind, path.parent / parent if parent.endswith(".yaml") else parent, include)
        if not above.is_file():
            raise UsageError(f"no such file: {display_path(above)}")
    except UsageError as error:
        raise UsageError(f"{where}: inherit: {error}") from None
    if above.resolve() in chain:
        circle = " -> ".join(file.name for file in (*chain, above))
        raise UsageError(f"{where}: inherit: goes round in a circle: {circle}")
    inherited = read_recipe(kind, above, include, chain)
    own = {key: value for key, value in inherited.data.items() if key != "description"}
    return overlay(Layer(own, {at: line for at, line in inherited.origins.items() if at != ("description",)}), layer)
