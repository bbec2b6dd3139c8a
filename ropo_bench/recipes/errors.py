"""What is wrong with a recipe, in one line: where, which key, what was given, what was perhaps meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ropo_bench.recipes.files import KeyPath, in_words, suggest

PLAINER = {
    "a valid boolean": "true or false",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid list": "a list",
    "List should have": "must have",
    " after validation, not 0": "",
}


def problems(
    model: type[BaseModel], data: Mapping[str, Any], origins: Mapping[KeyPath, str]
) -> list[tuple[str | None, str]]:
    """What is wrong, each with its place; unknown keys first, because they explain the missing ones."""
    try:
        model.model_validate(data)
    except ValidationError as error:
        details = sorted(error.errors(), key=lambda detail: "unknown" not in _sentence(model, detail))
        return [(_place(detail, origins), _sentence(model, detail)) for detail in details]
    return []


def _location(detail: ErrorDetails) -> KeyPath:
    return (*detail["loc"], *detail.get("ctx", {}).get("key", ()))


def _place(detail: ErrorDetails, origins: Mapping[KeyPath, str]) -> str | None:
    """The origin of the key, or of the nearest that has one around it, or inside it."""
    at = _location(detail)
    around = (origins[at[:end]] for end in range(len(at), 0, -1) if at[:end] in origins)
    inside = (place for key, place in origins.items() if key[: len(at)] == at)
    return next(around, next(inside, None))


def _sentence(model: type[BaseModel], detail: ErrorDetails) -> str:
    at, context = _location(detail), detail.get("ctx", {})
    dotted = ".".join(map(str, at))
    section = f" in {'.'.join(map(str, at[:-1]))}" if at[1:] else ""
    match detail["type"]:
        case "missing":
            return f"missing key {at[-1]!r}{section}"
        case "extra_forbidden" | "unknown_option":
            choices = context.get("known") or _keys_at(model, at[:-1])
            hint = suggest(str(at[-1]), choices) or (f"known: {', '.join(choices)}" if choices else "it has no keys")
            return f"unknown key {str(at[-1])!r}{section}; {hint}"
        case "unknown_name":
            choices, given = context["known"], context["given"]
            hint = suggest(given, choices) or f"known: {', '.join(choices)}"
            return f"{dotted}: unknown name {given!r}; {hint} (or give module:object)"
        case "model_type" | "dict_type":
            return f"{dotted}: must be a mapping of keys, given {in_words(detail['input'])}"
    reason = detail["msg"].replace("Input should", "must")
    for words, plainer in PLAINER.items():
        reason = reason.replace(words, plainer)
    given = context["given"] if "given" in context else detail["input"]
    return f"{dotted}: {reason}, given {in_words(given)}"


def _keys_at(model: type[BaseModel], at: KeyPath) -> list[str]:
    inner: type[BaseModel] | None = model
    entry = False  # of a list or mapping of models: its number or name is a part of the path, and no field
    for part in at:
        field = inner.model_fields.get(str(part)) if inner and not entry else None
        if entry:
            entry = False
        elif field:
            inner, entry = _model_in(field.annotation), get_origin(field.annotation) in (list, dict)
        else:
            inner = None
    return [key for key in inner.model_fields if key != "name" or at] if inner else []


def dotted_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        keys += dotted_keys(inner, f"{prefix}{name}.") if inner else [prefix + name]
    return keys


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
