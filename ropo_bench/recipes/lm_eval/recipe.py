"""From `lm-eval:NAME`, or a task file whose scorer is lm-eval, to a task recipe with lm-eval's metrics as columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.errors import problems
from ropo_bench.recipes.files import KeyPath
from ropo_bench.recipes.lm_eval.columns import columns_of
from ropo_bench.recipes.lm_eval.definition import Definition, define
from ropo_bench.recipes.lm_eval.index import index
from ropo_bench.recipes.lm_eval.options import LmEvalOptions

SCORER = "lm-eval"
PREFIX = "lm-eval:"


def is_name(name: object) -> bool:
    """Whether a task is named in the short form, lm-eval:NAME."""
    return isinstance(name, str) and name.startswith(PREFIX)


def check_name(name: str) -> None:
    """Raise UsageError for a short form that lm-eval has no task for."""
    definition_of(LmEvalOptions(task=name.removeprefix(PREFIX)))


def definition_of(options: LmEvalOptions) -> Definition:
    """What lm-eval makes of these options; raises UsageError."""
    return define(index(options.include_path), options.task, options.overrides)


def check_options(options: Mapping[str, Any], origins: Mapping[KeyPath, str], where: str) -> LmEvalOptions:
    """Options as they were written; raises UsageError for one that is wrong, with its place."""
    inner = {at[1:]: line for at, line in origins.items() if at[:1] == ("options",) and at[1:]}
    for place, problem in problems(LmEvalOptions, options, inner)[:1]:
        raise UsageError(f"{place or where}: options: {problem}")
    options_ = LmEvalOptions.model_validate(options)
    if options_.fewshot_as_multiturn and not options_.apply_chat_template:
        raise UsageError(f"{where}: options.fewshot_as_multiturn needs options.apply_chat_template, as in lm-eval")
    return options_


def recipe_data(options: LmEvalOptions, name: str | None = None) -> dict[str, Any]:
    """Description and columns as a recipe file would hold them; with a name the whole recipe of the short form."""
    columns = [column.model_dump() for column in columns_of(definition_of(options))]
    data: dict[str, Any] = {"description": f"{options.task}, by lm-eval", "columns": columns}
    if name is not None:
        data |= {"name": name, "scorer": SCORER, "options": {"task": options.task}}
    return data
