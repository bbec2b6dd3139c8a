"""Which code a number depends on: the modules behind a making, found by following its imports.

A list of module names kept by hand forgets some and holds others that do not matter. Here the list is read off the
code: every module of the same project that a module imports, anywhere in its text, and whatever those import.
Comments, docstrings and formatting are left out, so that explaining a line never makes a model train again.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.store.files import JSON, sha256_of

PROJECT = "ropo_bench"
HARMLESS = (
    "ropo_bench.errors",  # how things fail
    "ropo_bench.terminal",  # what a person sees
    "ropo_bench.store",  # where things lie; how they are written has a schema of its own
    "ropo_bench.recipes",  # what recipes say is in the keys, value by value
    "ropo_bench.runs.provenance",
)
"""Packages of the project that cannot change a number: neither they nor what only they import is followed."""
HANDS_ON = (
    "ropo_bench.types",  # records without arithmetic
    "ropo_bench.types.engines",
    "ropo_bench.training.team.launch",  # which process does a job, not how
    "ropo_bench.training.team.worker",
    "ropo_bench.training.work",
)
"""The same of single modules."""
_DIGITS = 12
_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class _Module:
    """A module's source: hash of what it means, with the C files that it compiles; the names that it imports."""

    digest: str
    imports: frozenset[str]


@cache  # a process runs one version of its code
def find_module(module: str) -> ModuleSpec | None:
    """The spec of a module, or of a file's path, without importing it or its parents; None where there is none."""
    if module.endswith(".py"):
        path = Path(module).expanduser().absolute()
        return ModuleSpec(module, None, origin=str(path)) if path.is_file() else None
    spec: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, None if spec is None else spec.submodule_search_locations)
        if spec is None:
            return None
    return spec


def is_checkout() -> bool:
    """Whether the project runs from a git checkout of its own, where code changes between releases."""
    spec = find_module(PROJECT)
    return spec is not None and spec.origin is not None and (Path(spec.origin).parents[1] / ".git").exists()


def code_of(version: int, *roots: str, beside: str = "") -> dict[str, JSON]:
    """What of the code goes into a content key: a version, in a checkout the source, of users' modules always.

    version: of the numbers that the roots make, raised when they change; it alone stands for the project's code in an
    installed release, so that an upgrade makes again what changed and nothing else. roots: modules that make the
    numbers. beside: a package whose modules are not followed unless they are roots. Raises UsageError for a root
    that is no module.
    """
    own = [root for root in roots if _top(root) == PROJECT]
    source: dict[str, JSON] = dict(sources(own, beside)) if is_checkout() else {}
    for root in roots:
        if _top(root) != PROJECT:
            source |= sources([root])
    return {"version": version, "source": source} if source else {"version": version}


def sources(roots: Collection[str], beside: str = "") -> dict[str, str]:
    """Hash of every module that makes the numbers of `roots`, by its name."""
    return dict(_sources(tuple(roots), beside))


@cache  # a table of many rows asks for the same few keys thousands of times
def _sources(roots: tuple[str, ...], beside: str) -> tuple[tuple[str, str], ...]:
    modules = derived_modules(roots, beside)
    return tuple((_label(module), _read(module).digest[:_DIGITS]) for module in modules)


@cache
def source_hash(*modules: str) -> str:
    """Hash of the text of modules, and of packages with all below them; what they import does not count.

    Quicker than `sources`, which reads what the code means. Raises UsageError for what is no module.
    """
    lines = []
    for module in modules:
        spec = find_module(module)
        if spec is None or spec.origin is None:
            raise UsageError(f"{module}: no such Python module on sys.path")
        origin = Path(spec.origin)
        paths = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
        lines += [f"{module}/{path.relative_to(origin.parent).as_posix()}\0{sha256_of(path)}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_DIGITS]


def derived_modules(roots: Collection[str], beside: str = "") -> list[str]:
    """The modules `roots` and all that they import, directly or not, but the harmless ones; sorted.

    Raises UsageError for a root that is no module.
    """
    for root in roots:
        if find_module(root) is None:
            raise UsageError(f"{root}: no such Python module on sys.path")
    seen: set[str] = set(roots)
    waiting = [*roots, *(package for root in roots for package in _packages(root))]
    while waiting:
        module = waiting.pop()
        if module not in roots and (module in seen or _is_left_out(module, beside)):
            continue
        seen.add(module)
        waiting.extend(name for name in _read(module).imports if name not in seen)
    return sorted(seen)


def _is_left_out(module: str, beside: str) -> bool:
    packages = (*HARMLESS, beside) if beside else HARMLESS
    return module in HANDS_ON or any(module == name or module.startswith(f"{name}.") for name in packages)


def meaning(source: str) -> str:
    """Python source without its comments, docstrings, other bare strings and formatting."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                setattr(node, name, [line for line in block if not _is_bare_string(line)])
    return ast.dump(tree)


def _is_bare_string(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


@cache
def _read(module: str) -> _Module:
    spec = find_module(module)
    if spec is None or spec.origin is None:
        return _Module(hashlib.sha256().hexdigest(), frozenset())  # a folder without a file of its own
    origin = Path(spec.origin)
    if origin.suffix != ".py":
        return _Module(hashlib.sha256(origin.read_bytes()).hexdigest(), frozenset())
    text = origin.read_text(encoding="utf-8")
    digest = hashlib.sha256(meaning(text).encode())
    for compiled in sorted(path for suffix in (".c", ".h") for path in _beside(origin, suffix)):
        digest.update(f"\0{compiled.name}\0".encode() + compiled.read_bytes())
    return _Module(digest.hexdigest(), _imports(module, spec, ast.parse(text)))


def _beside(origin: Path, suffix: str) -> list[Path]:
    """The C sources that a module compiles: under its own name or, for `build`, all in its folder."""
    return (
        list(origin.parent.glob(f"*{suffix}"))
        if origin.stem == "build"
        else list(origin.parent.glob(f"{origin.stem}{suffix}"))
    )


def _imports(module: str, spec: ModuleSpec, tree: ast.AST) -> frozenset[str]:
    """The modules that belong to a module's own code among those that it imports, and the packages they lie in.

    Imports inside functions count. What stands under `if TYPE_CHECKING:` is not run, and is left out.
    """
    package = module if spec.submodule_search_locations else module.rpartition(".")[0]
    names: set[str] = set()
    for node in _executed_nodes(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, package)
            # `from package import name` may mean a module of that name, or an object of the package.
            names.update(f"{source}.{alias.name}" for alias in node.names)
            names.add(source)
    own = {imported for name in names if name and (imported := _own(name, module)) is not None}
    return frozenset(own | {parent for name in own for parent in _packages(name)})


def _executed_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node of a module but those that only a type checker reads."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for line in child.orelse:
                yield line
                yield from _executed_nodes(line)
            continue
        yield child
        yield from _executed_nodes(child)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """What `from ... import` names, without the leading dots."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base


def _own(name: str, module: str) -> str | None:
    """An imported module as it is found, if it is of the importing one's project; None if it is not.

    A project is a top package, or what lies beside a user's module in one folder.
    """
    if module.endswith(".py"):
        beside = Path(module).expanduser().absolute().parent / f"{_top(name)}.py"
        return str(beside) if beside.is_file() else None
    if _top(name) == _top(module):
        return name if find_module(name) is not None else None
    if PROJECT in (_top(module), _top(name)):
        return None
    own_spec, other_spec = (find_module(_top(text)) for text in (module, name))
    if own_spec is None or other_spec is None or own_spec.origin is None or other_spec.origin is None:
        return None
    alike = _folder(own_spec) == _folder(other_spec) and _folder(own_spec).name not in _INSTALLED
    return name if alike and find_module(name) is not None else None


def _folder(spec: ModuleSpec) -> Path:
    """The folder of sys.path in which a top module or package lies."""
    assert spec.origin is not None
    return Path(spec.origin).parents[1 if spec.submodule_search_locations else 0]


def _label(module: str) -> str:
    """A file without its folder, which is another one on every machine."""
    return Path(module).name if module.endswith(".py") else module


def _top(module: str) -> str:
    return module if module.endswith(".py") else module.partition(".")[0]


def _packages(module: str) -> list[str]:
    """The packages that a module lies in; not the top one, whose names are doors to everything."""
    parts = [] if module.endswith(".py") else module.split(".")
    return [".".join(parts[:count]) for count in range(2, len(parts))]
