"""Recipe files: from a name, a suite and --set to a checked model. request.py resolves what a command was asked for.

Precedence, lowest first: model defaults, the method (over what it inherits), suite.train,
suite.overrides[method], --set for all methods, --set METHOD.key for one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ropo_bench.errors import UsageError
from ropo_bench.recipes import crossed, lm_eval
from ropo_bench.recipes.errors import dotted_keys, problems
from ropo_bench.recipes.files import (
    KeyPath,
    Kind,
    Layer,
    check_row_name,
    display_path,
    find,
    list_recipes,
    overlay,
    parse_yaml,
    read_recipe,
    suggest,
)
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.method import MethodRecipe, Recipe
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.recipes.task import TaskRecipe

R = TypeVar("R", bound=Recipe)
Include = Sequence[str | Path]
SECTIONS = ("adapter", "loss", "train")


def load_method(
    name: str | Path, *, suite: SuiteRecipe | None = None, sets: Sequence[str] = (), include: Include = ()
) -> MethodRecipe:
    """One method, merged and checked; settings aimed at another known method are left aside.

    name: a recipe's name, a file's path, or LOSS+ADAPTER (`recipes/crossed.py`). sets: "loss.beta=0.05" or
    "ropo.train.lr=1e-4", the value YAML.
    Raises UsageError naming the file and line, or the --set, of the first problem.
    """
    parts = crossed.parts_of(name, include)
    path = Path(str(name)) if parts else find("methods", name, include)
    method = _name_of(path)
    check_row_name(method, display_path(path))
    if method in SECTIONS:
        raise UsageError(
            f"{display_path(path)}: a method cannot be called {method!r}, which is a section; rename the file"
        )
    if parts:
        loss, adapter = (_with_suite(find("methods", part, include), part, suite, include) for part in parts)
        layer = crossed.cross(loss, adapter, parts)
        if suite is not None:
            layer = overlay(layer, _overrides(suite, method, {}))
    else:
        layer = _with_suite(path, method, suite, include)
    methods = {*list_recipes("methods", include), method}
    aimed = [_parse_set(text, methods) for text in sets]
    for target in (None, method):
        for to, setting in aimed:
            if to == target:
                layer = overlay(layer, setting)
    return _build(MethodRecipe, layer, path)


def load_methods(
    names: str | Sequence[str | Path],
    *,
    suite: SuiteRecipe | None = None,
    sets: Sequence[str] = (),
    include: Include = (),
) -> list[MethodRecipe]:
    """The methods of a run in the order given, each once; "all" is every shipped and every included method.

    names: "all", "ropo,dpo", or a list of names and paths. Raises UsageError as load_method does, for two
    methods of one name, and for a --set aimed at a method that is not in this run (it would do nothing).
    """
    items = [part.strip() for part in names.split(",")] if isinstance(names, str) else list(names)
    if not items or "" in items:
        raise UsageError(f"--methods: expected names with commas between, such as ropo,dpo, or all; given {names!r}")
    paths: dict[str, Path | str] = {}
    for item in items:
        for name in list_recipes("methods", include) if item == "all" else [item]:
            if crossed.parts_of(name, include):
                paths[str(name)] = str(name)
                continue
            path = find("methods", name, include)
            if Path(paths.setdefault(path.stem, path)).resolve() != path.resolve():
                paths_of_one_name = f"{display_path(path)} and {display_path(Path(paths[path.stem]))}"
                raise UsageError(f"{paths_of_one_name} have the same name; rename one of them")
    methods = {*list_recipes("methods", include), *paths}
    for text in sets:
        target, _ = _parse_set(text, methods)
        if target is not None and target not in paths:
            raise UsageError(f"--set {text}: {target} is not among this run's methods ({', '.join(paths)})")
    # By path, so that a file given directly is known to the others' settings by its name.
    return [
        load_method(
            path,
            suite=suite,
            sets=[s for s in sets if _parse_set(s, methods)[0] in (None, name)],
            include=include,
        )
        for name, path in paths.items()
    ]


def load_task(name: str | Path, *, include: Include = ()) -> TaskRecipe:
    """One task by name or path, or lm-eval:NAME for one of lm-eval's; raises UsageError."""
    if lm_eval.is_name(name):
        options = lm_eval.check_options({"task": str(name).removeprefix(lm_eval.PREFIX)}, {}, str(name))
        return TaskRecipe.model_validate(lm_eval.recipe_data(options, str(name)))
    path = find("tasks", name, include)
    layer = read_recipe("tasks", path, include)
    named_options = layer.data.get("options", {})
    if layer.data.get("scorer") == lm_eval.SCORER and isinstance(named_options, dict):
        options = lm_eval.check_options(named_options, layer.origins, display_path(path))
        layer = overlay(Layer({} if "columns" in layer.data else lm_eval.recipe_data(options), {}), layer)
    return _build(TaskRecipe, layer, path)


def load_judge(name: str | Path, *, include: Include = ()) -> JudgeRecipe:
    """One judge by name or path; raises UsageError."""
    path = find("judges", name, include)
    return _build(JudgeRecipe, read_recipe("judges", path, include), path)


def load_suite(name: str | Path, *, include: Include = ()) -> SuiteRecipe:
    """One suite by name or path, with its tasks, train keys and overrides checked; raises UsageError."""
    path = find("suites", name, include)
    layer = read_recipe("suites", path, include)
    suite = _build(SuiteRecipe, layer, path)
    named: list[tuple[Kind, str, KeyPath]] = [("tasks", task, ("tasks", i)) for i, task in enumerate(suite.tasks)]
    named += [("methods", method, ("overrides", method)) for method in suite.overrides]
    named += [("tasks", task, ("decoding", task)) for task in suite.decoding]
    named += [("judges", suite.judge, ("judge",))] if suite.judge else []
    for kind, item, at in named:
        try:
            if kind == "tasks" and lm_eval.is_name(item):
                lm_eval.check_name(item)
            elif kind == "methods":
                crossed.check_name(item, include)
            else:
                find(kind, item, include)
        except UsageError as error:
            raise UsageError(f"{layer.origins.get(at, display_path(path))}: {at[0]}: {error}") from None
    # The last checks train alone, which overrides would hide.
    for method, recipe in (*zip(suite.overrides, suite.overrides, strict=True), ("", "dpo")):
        _, trained_as = crossed.parts_of(recipe, include) or ("", recipe)
        below = read_recipe("methods", find("methods", trained_as, include), include)
        merged = overlay(Layer(below.data, {}), _suite_layer(suite, method, layer.origins))
        for where, problem in problems(MethodRecipe, {"name": method, **merged.data}, merged.origins):
            if where:  # the others are the method's own and are reported where it is loaded
                raise UsageError(f"{where}: {problem}")
    return suite


def settings(method: MethodRecipe) -> dict[str, Any]:
    """The merged recipe as plain data, without name and description: what decides the training."""
    data = method.model_dump(exclude={"name", "description"})
    if method.adapter.name == "full":
        del data["adapter"]["target_modules"]  # full fine-tuning does not read it
    return data


def diff_recipes(a: MethodRecipe, b: MethodRecipe) -> list[tuple[str, Any, Any]]:
    """(dotted key, value in a, value in b) for every setting that differs; None where one has no such key."""
    left, right = _flatten(settings(a)), _flatten(settings(b))
    keys = [*right, *(key for key in left if key not in right)]
    return [(key, left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)]


def _flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _with_suite(path: Path, method: str, suite: SuiteRecipe | None, include: Include) -> Layer:
    layer = read_recipe("methods", path, include)
    return layer if suite is None else overlay(layer, _suite_layer(suite, method, {}))


def _suite_layer(suite: SuiteRecipe, method: str, origins: Mapping[KeyPath, str]) -> Layer:
    layer = _flat_layer(suite, "train.", ("train",), suite.train, origins)
    return overlay(layer, _overrides(suite, method, origins))


def _overrides(suite: SuiteRecipe, method: str, origins: Mapping[KeyPath, str]) -> Layer:
    return _flat_layer(suite, "", ("overrides", method), suite.overrides.get(method, {}), origins)


def _flat_layer(
    suite: SuiteRecipe, prefix: str, at: KeyPath, flat: Mapping[str, Any], origins: Mapping[KeyPath, str]
) -> Layer:
    layer = Layer({}, {})
    for key, value in flat.items():
        where = origins.get((*at, key), f"suite {suite.name}")
        layer = overlay(layer, _layer_of(prefix + key, value, where))
    return layer


def _layer_of(key: str, value: Any, where: str) -> Layer:
    path = tuple(key.split("."))
    for part in reversed(path):
        value = {part: value}
    return Layer(value, {path: where})


def _parse_set(text: str, methods: Collection[str]) -> tuple[str | None, Layer]:
    where = f"--set {text if len(text) <= 100 else text[:100] + '...'}"
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(f"{where}: must be KEY=VALUE, for example loss.beta=0.05 or ropo.train.lr=1e-4")
    head, _, rest = key.partition(".")
    target = head if head in methods and rest else None
    key = rest if target else key
    settable = [key_name for key_name in dotted_keys(MethodRecipe) if "." in key_name]
    if key not in settable and key.rpartition(".")[0] not in ("adapter.options", "loss.options"):
        nested = [key_name for key_name in settable if key_name.endswith("." + key)]
        words = [*settable, *(f"{name}.{key.partition('.')[2]}" for name in methods if "." in key)]
        hint = f"did you mean {nested[0]!r}?" if nested else suggest(key, words) or f"known: {', '.join(settable)}"
        raise UsageError(f"{where}: unknown key {key!r}; {hint}")
    value, _ = parse_yaml(raw, lambda _: where)
    return target, _layer_of(key, value, where)


def _name_of(path: Path) -> str:
    # A judge is named as its model is (gpt-4.1); a method's dot would end its name in --set METHOD.key.
    dots, allowed = (
        (".", "letters, digits, -, _, + and .")
        if path.parent.name == "judges"
        else ("", "letters, digits, -, _ and + only")
    )
    if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_+{dots}-]{{0,63}}", path.stem):
        raise UsageError(f"{display_path(path)}: a recipe's file name is its name: {allowed}, 64 at most")
    return path.stem


def _build(model: type[R], layer: Layer, path: Path) -> R:
    data = {"name": _name_of(path), **layer.data}
    faults = problems(model, data, layer.origins)
    if faults:
        where, problem = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UsageError(f"{where or display_path(path)}: {problem}{more}")
    return model.model_validate(data)
