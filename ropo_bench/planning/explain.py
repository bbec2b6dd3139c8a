"""Why a stage is to be made: what its inputs have otherwise than those of the nearest one that is finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ropo_bench.store import Stage, Store

UPSTREAM = ("base", "pairs", "reference", "policy", "model", "completions", "baseline")
"""Inputs that are the keys of other stages or of models: why those changed is told there."""
MAX_VALUE = 40
MAX_DIFFERENCES = 6
_CODE = ("code", "source")

Path = tuple[str, ...]


def reason(store: Store, stage: Stage) -> str:
    """Why an unfinished stage is to be made, in one line: setting, seed, version, engine or source that differs.

    Empty where nothing like it is finished.
    """
    if stage.inputs is None:
        return ""
    wanted = _leaves(stage.inputs)
    candidates = [differences(_leaves(inputs), wanted) for inputs in store.finished_inputs(stage.name)]
    if not candidates:
        return ""
    nearest = min(candidates, key=len)
    if not nearest:
        return "its output is gone"
    more = f", and {len(nearest) - MAX_DIFFERENCES} more" if len(nearest) > MAX_DIFFERENCES else ""
    return ", ".join(nearest[:MAX_DIFFERENCES]) + more


def differences(before: Mapping[Path, Any], now: Mapping[Path, Any]) -> list[str]:
    """Every input that differs, changed source as one; in the order of the inputs."""
    paths = [*now, *(path for path in before if path not in now)]
    changed = [path for path in paths if before.get(path) != now.get(path)]
    modules = [path[-1] for path in changed if path[: len(_CODE)] == _CODE]
    lines = [_line(path, before.get(path), now.get(path)) for path in changed if path[: len(_CODE)] != _CODE]
    return lines + ([f"code of {_some(modules)}"] if modules else [])


def _line(path: Path, before: Any, now: Any) -> str:
    name = ".".join(path)
    if path[0] in UPSTREAM:
        return f"another {name}"
    return f"{name} {_value(before)} → {_value(now)}"


def _value(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def _some(modules: Sequence[str]) -> str:
    names = ", ".join(modules[:3])
    return f"{names} and {len(modules) - 3} modules more" if len(modules) > 3 else names


def _leaves(inputs: Mapping[str, Any], at: Path = ()) -> dict[Path, Any]:
    """Inputs by their path: {"settings": {"train": {"lr": 1}}} -> {("settings", "train", "lr"): 1}."""
    leaves: dict[Path, Any] = {}
    for key, value in inputs.items():
        leaves |= _leaves(value, (*at, key)) if isinstance(value, Mapping) else {(*at, key): value}
    return leaves


def reason_lines(steps: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why stages are to be made that others like them are finished of; rows with the same reason in one line.

    steps: as in a plan's record.
    """
    rows: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        names = rows.setdefault((step["stage"], step["because"]), [])
        if step["because"] and step["row"] not in names:
            names.append(step["row"])
    return [f"why {stage} {', '.join(names)}: {why}" for (stage, why), names in rows.items() if names]
