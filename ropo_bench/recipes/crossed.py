"""`LOSS+ADAPTER`: a row made of two methods, such as simpo+ropo, without a recipe of its own.

The rule: what is minimised (loss, beta, label smoothing, options) is the left method's; what trains (adapter) and how
(the learning rate and the whole of `train`) is the right one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import KeyPath, Layer, find, list_recipes

RULE = "loss, beta and loss options of {loss}; adapter, learning rate and schedule of {adapter}"


def parts_of(name: str | Path, include: Sequence[str | Path] = ()) -> tuple[str, str] | None:
    """(method of the loss, method of the adapter) of a crossed name; None for any other name, and for paths.

    A recipe that has a + in its own name is itself. Raises UsageError for more than two parts, and for one that is no
    method.
    """
    text = str(name)
    if isinstance(name, Path) or "+" not in text or "/" in text or text.endswith((".yaml", ".yml")):
        return None
    if text in list_recipes("methods", include):
        return None
    parts = text.split("+")
    if len(parts) != 2 or "" in parts:
        raise UsageError(f"method {text!r}: give LOSS+ADAPTER, the names of two methods, such as simpo+ropo")
    for part in parts:
        try:
            find("methods", part, include)
        except UsageError as error:
            raise UsageError(f"method {text!r}: {error}") from None
    return parts[0], parts[1]


def check_name(name: str, include: Sequence[str | Path] = ()) -> None:
    """Raise UsageError for what is neither a method's name nor a crossed one."""
    if parts_of(name, include) is None:
        find("methods", name, include)


def cross(loss: Layer, adapter: Layer, parts: tuple[str, str]) -> Layer:
    """The recipe of a crossed method from those of its two parts."""

    def of_loss(key: KeyPath) -> bool:
        return key[:1] == ("loss",)

    data = {key: value for key, value in adapter.data.items() if key != "loss"}
    data |= {"loss": loss.data["loss"]} if "loss" in loss.data else {}
    data["description"] = RULE.format(loss=parts[0], adapter=parts[1])
    origins = {key: place for key, place in adapter.origins.items() if not of_loss(key)}
    return Layer(data, origins | {key: place for key, place in loss.origins.items() if of_loss(key)})
