"""`ropo-bench methods` lists the rows; `methods show NAME` prints one, merged, and its difference to dpo."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ropo_bench.store.bounded import dump_json
from ropo_bench.terminal.screen import say

if TYPE_CHECKING:
    from ropo_bench.recipes.method import MethodRecipe

app = typer.Typer(help="List the methods, or show one as it would be trained.", invoke_without_command=True)

Include = Annotated[list[Path] | None, typer.Option(help="A folder with recipes of your own; repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def list_methods(context: typer.Context, include: Include = None, as_json: AsJson = False) -> None:
    """List the methods: name, adapter, loss, description."""
    if context.invoked_subcommand is not None:
        context.obj = include or []  # `methods --include DIR show NAME` means the same folders
        return
    from ropo_bench.recipes.load import load_methods

    rows = [
        {"name": m.name, "adapter": m.adapter.name, "loss": m.loss.name, "description": m.description}
        for m in load_methods("all", include=include or [])
    ]
    if as_json:
        say(dump_json(rows, indent=2))
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        widths = [max(len(row[key]) for row in rows) for key in ("name", "adapter", "loss")]
        for row in rows:
            padded = (f"{text:<{width}}" for text, width in zip(row.values(), widths, strict=False))
            say("  ".join((*padded, row["description"])))


@app.command()
def show(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(help="A method's name, or a recipe file.")],
    suite: Annotated[str | None, typer.Option(help="The suite whose schedule and overrides apply.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, as for `run`; repeatable.")] = None,
    include: Include = None,
    base: Annotated[
        str | None, typer.Option(help="Count parameters on this model: config.json, its folder, or a hub id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the merged recipe and its difference to dpo.

    With --base also the count of its parameters.
    """
    from ropo_bench.recipes.load import diff_recipes, load_method, load_suite, settings

    folders = [*(context.obj or []), *(include or [])]
    chosen = load_suite(suite, include=folders) if suite else None
    method, dpo = (load_method(n, suite=chosen, sets=sets or [], include=folders) for n in (name, "dpo"))
    diff = diff_recipes(dpo, method)
    counts = _count(base, method) if base else {}
    if as_json:
        recipe = {"name": method.name, "description": method.description, **settings(method)}
        differences = {key: {"dpo": a, "value": b} for key, a, b in diff}
        say(dump_json({"recipe": recipe, "diff_to_dpo": differences, **counts}, indent=2))
        return
    text = _as_yaml(method, f"{method.name}, suite {suite}" if suite else method.name)
    text += "\n" + _diff_as_comments(diff)
    if counts:
        share = f"{counts['trainable_params']:,} of {counts['total_params']:,} = {counts['percent']:.4f} %"
        text += f"# trainable parameters on {base}: {share}\n"
    if sys.stdout.isatty():
        from rich.syntax import Syntax

        from ropo_bench.terminal.console import Screen

        Screen().print(Syntax(text, "yaml", background_color="default", word_wrap=True))
    else:
        say(text, end="")


def _count(base: str, method: MethodRecipe) -> dict[str, Any]:
    from ropo_bench.adapters import count_parameters

    trainable, total = count_parameters(base, method.adapter)
    return {"trainable_params": trainable, "total_params": total, "percent": 100 * trainable / total}


def _as_yaml(method: MethodRecipe, title: str) -> str:
    """The merged recipe as a recipe file: saved under a name, it is that method without any inheritance."""
    from ruamel.yaml import YAML

    from ropo_bench.recipes.load import settings

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    out = io.StringIO()
    yaml.dump({"description": method.description, **settings(method)}, out)
    return f"# {title}\n{out.getvalue()}"


def _diff_as_comments(diff: list[tuple[str, Any, Any]]) -> str:
    if not diff:
        return "# no difference to dpo\n"
    width = max(len(key) for key, _, _ in diff)
    lines = [f"#   {key:<{width}}  {_plain(a)} -> {_plain(b)}" for key, a, b in diff]
    return "\n".join(["# difference to dpo (dpo -> this method):", *lines, ""])


def _plain(value: Any) -> str:
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value)


def _print_table(rows: list[dict[str, str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ropo_bench.terminal.console import Screen

    table = Table(*rows[0], box=None, header_style="bold")
    for row in rows:
        table.add_row(*map(escape, row.values()))
    Screen().print(table)
