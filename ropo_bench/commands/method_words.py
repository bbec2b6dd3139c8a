"""A method in words: what it minimises, what it trains, where from, and what differs from dpo."""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ropo_bench.recipes import adapters, losses
from ropo_bench.recipes.load import settings
from ropo_bench.recipes.method import AdapterRecipe, LossRecipe, MethodRecipe

WIDTH = 110
FAMILIES = (losses.DPO, losses.DIVERGENCE, losses.TARGET, losses.ABSOLUTE, losses.LIKELIHOOD)
OWN_LOSSES, ADAPTERS, BOTH = "losses of your own", "adapters, with dpo's loss", "another loss and an adapter"


def group_of(method: MethodRecipe) -> str:
    """The heading that a row stands under in lists: its loss's family, or that of adapters."""
    full, plain = method.adapter.name == "full", method.loss.name == "sigmoid"
    if not full:
        return ADAPTERS if plain else BOTH
    facts = losses.LOSSES.get(method.loss.name)
    return OWN_LOSSES if facts is None else facts.family


def grouped(methods: Sequence[MethodRecipe]) -> Iterator[tuple[str, list[MethodRecipe]]]:
    """The rows by heading, in the order of the headings: losses family by family, then adapters."""
    for group in (*FAMILIES, OWN_LOSSES, ADAPTERS, BOTH):
        if rows := [method for method in methods if group_of(method) == group]:
            yield group, rows


def loss_forms(loss: LossRecipe) -> list[tuple[str, str]]:
    """(formula, source) of a loss, then of each variant that its settings ask for; empty for a user's own."""
    facts = losses.LOSSES.get(loss.name)
    if facts is None:
        return []
    given = {"label_smoothing": loss.label_smoothing, **loss.options}
    return [(facts.formula, facts.source), *(form for name, form in facts.variants.items() if given.get(name))]


def adapter_forms(adapter: AdapterRecipe) -> list[tuple[str, str]]:
    """(formula, source) of an adapter, then of each variant that its options ask for; empty for a user's own."""
    facts = adapters.ADAPTERS.get(adapter.name)
    if facts is None:
        return []
    variants = [form for option, form in facts.variants.items() if adapter.options.get(option)]
    return [(facts.formula, facts.source), *variants]


def explanation(method: MethodRecipe) -> str:
    """The method's loss and adapter as lines of comments: formula, source, idea."""
    lines: list[str] = []

    def say(head: str, *paragraphs: str) -> None:
        for paragraph in paragraphs:
            lines.extend(
                textwrap.wrap(paragraph, WIDTH, initial_indent=f"# {head:<9}", subsequent_indent=f"# {'':<9}")
            )
            head = ""

    say("", method.description)
    known = losses.LOSSES.get(method.loss.name)
    if known is None:
        say("loss", f"{method.loss.name}, which is not the project's")
    else:
        variants = (f"{source}: {formula}" for formula, source in loss_forms(method.loss)[1:])
        say("loss", known.formula, f"{known.source}: {known.idea}", *variants, losses.LETTERS)
    facts = adapters.ADAPTERS.get(method.adapter.name)
    if facts is None:
        say("adapter", f"{method.adapter.name}, which is not the project's")
    else:
        variants = (f"{source}: {formula}" for formula, source in adapter_forms(method.adapter)[1:])
        say("adapter", facts.formula, f"{facts.source}: {facts.idea}", *variants)
        if method.adapter.name != "full":
            say("", adapters.LETTERS)
    return "\n".join(lines) + "\n"


def as_yaml(method: MethodRecipe) -> str:
    """The merged recipe as a recipe file: saved under a name, it is that method without any inheritance."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None  # the innermost lists and mappings in one line
    yaml.width = 4096
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    out = io.StringIO()
    yaml.dump({"description": method.description, **settings(method)}, out)
    return out.getvalue()


def diff_as_comments(diff: Sequence[tuple[str, Any, Any]]) -> str:
    """What differs from dpo, a line a setting."""
    if not diff:
        return "# no difference to dpo\n"
    width = max(len(key) for key, _, _ in diff)
    lines = [f"#   {key:<{width}}  {plain(a)} -> {plain(b)}" for key, a, b in diff]
    return "\n".join(["# difference to dpo (dpo -> this method):", *lines, ""])


def plain(value: Any) -> str:
    """A setting's value as a person reads it."""
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value)


def row(method: MethodRecipe) -> Mapping[str, str]:
    """A method as a line of the list."""
    return {
        "name": method.name,
        "adapter": method.adapter.name,
        "loss": method.loss.name,
        "description": method.description,
    }
