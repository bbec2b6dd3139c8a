"""Which modules of a model an adapter's recipe means, and whether the adapter can change them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn
from transformers.pytorch_utils import Conv1D

from ropo_bench.errors import UsageError
from ropo_bench.recipes.adapters import ADAPTERS
from ropo_bench.recipes.files import suggest

if TYPE_CHECKING:
    from ropo_bench.recipes.method import AdapterRecipe

LINEAR_ONLY = tuple(
    name for name, facts in ADAPTERS.items() if facts.linear_only
)  # of the adapters known by name, those that cannot adapt GPT-2's Conv1D
ALL_LINEAR = "all-linear"  # PEFT's word: every linear layer but the head


def check_targets(recipe: AdapterRecipe, model: nn.Module) -> None:
    """Raise UsageError unless every entry of target_modules matches a module that the adapter can change.

    A list has the ends of module names, a text is one pattern, as PEFT matches them.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    matched = _match(recipe.target_modules, modules)
    for target, names in matched.items():
        if not names:
            raise UsageError(
                f"adapter.target_modules: no module of the model matches {target!r}; {_hint(recipe, target, model)}"
            )
    if recipe.name in LINEAR_ONLY:
        for target, names in matched.items():
            turned = [name for name in names if isinstance(modules[name], Conv1D)]
            if turned:
                raise UsageError(
                    f"adapter.target_modules: {target!r} matches {turned[0]}, a Conv1D, which {recipe.name} cannot"
                    f" adapt; {_hint(recipe, target, model)}"
                )


def _match(targets: list[str] | str, names: Iterable[str]) -> dict[str, list[str]]:
    """The names that each entry matches."""
    if targets == ALL_LINEAR:
        return {}
    if isinstance(targets, str):
        return {targets: [name for name in names if re.fullmatch(targets, name)]}
    return {target: [name for name in names if name == target or name.endswith(f".{target}")] for target in targets}


def _hint(recipe: AdapterRecipe, target: str, model: nn.Module) -> str:
    """What would work in the place of a target: the nearest name, or all that the adapter can change."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    modules = [(name, module) for name, module in model.named_modules() if module is not head]
    linear = _last_words(name for name, module in modules if isinstance(module, nn.Linear))
    turned = _last_words(name for name, module in modules if isinstance(module, Conv1D))
    if turned and not linear and recipe.name in LINEAR_ONLY:
        names = ", ".join(turned)
        return f"all linear layers of this model are Conv1D: take lora with target_modules [{names}], or full"
    targets = sorted({*linear, *([] if recipe.name in LINEAR_ONLY else turned)})
    return suggest(target, targets) or f"its linear layers are {', '.join(targets)}"


def _last_words(names: Iterable[str]) -> list[str]:
    words = {name.rpartition(".")[2] for name in names}
    return sorted(word for word in words if not word.isdigit())
