"""What an lm-eval task is made of here and now: its definition's files and its local data, for content keys."""

from __future__ import annotations

from collections.abc import Iterator
from glob import glob
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.lm_eval.definition import Definition
from ropo_bench.recipes.lm_eval.index import root
from ropo_bench.recipes.lm_eval.options import LmEvalOptions
from ropo_bench.recipes.lm_eval.recipe import definition_of
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.store import file_hash


def data_of(recipe: TaskRecipe) -> dict[str, dict[str, str]]:
    """Hashes of the definition's files (YAML and Python beside it) and of the data files that it names.

    Data on the hub are named by the definition alone. Raises UsageError for a local file that is not there.
    """
    options = LmEvalOptions.model_validate(recipe.options)
    definition = definition_of(options)
    files = {_shown(path, options): file_hash(path) for path in sorted(definition.all_files())}
    data = {text: file_hash(path) for text, path in sorted(set(_data_files(definition)))}
    return {"definition": files, "data": data}


def _shown(path: Path, options: LmEvalOptions) -> str:
    """A path below lm-eval's own folder or the user's, so that it is the same on every machine."""
    folders = [root()]
    if options.include_path is not None:
        folders.insert(0, Path(options.include_path).expanduser().resolve())
    return next((path.relative_to(folder).as_posix() for folder in folders if path.is_relative_to(folder)), str(path))


def _data_files(definition: Definition) -> Iterator[tuple[str, Path]]:
    """(As it is named, path) of every local file that a task reads its rows from."""
    for name, task in definition.tasks().items():
        given = task.config.get("dataset_kwargs")
        kwargs = given if isinstance(given, dict) else {}
        folder = kwargs.get("data_dir")
        patterns = [] if folder is not None else _texts(kwargs.get("data_files"))  # a folder is hashed as a whole
        for pattern in (pattern for pattern in patterns if "://" not in pattern):
            matches = sorted(glob(pattern, recursive=True))
            if not matches:
                raise UsageError(f"lm-eval task {name}: no such data file: {pattern} (dataset_kwargs.data_files)")
            yield from ((match, Path(match)) for match in matches if Path(match).is_file())
        for place in (folder, task.config.get("dataset_path")):
            if isinstance(place, str) and Path(place).expanduser().exists():
                there = Path(place).expanduser()
                inner = sorted(there.rglob("*")) if there.is_dir() else [there]
                yield from ((str(path), path) for path in inner if path.is_file())


def _texts(value: Any) -> list[str]:
    """Every text in a text, a list or a mapping of either."""
    if isinstance(value, dict | list):
        return [text for part in (value.values() if isinstance(value, dict) else value) for text in _texts(part)]
    return [value] if isinstance(value, str) else []
