"""`ropo-bench methods` lists the rows; `methods show NAME` prints one, merged, and its difference to dpo."""

from __future__ import annotations

import sys
from collections.abc import Mapping
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
def list_methods(
    context: typer.Context,
    listed: Annotated[bool, typer.Option("--list", help="List them, as without a command.")] = False,
    include: Include = None,
    as_json: AsJson = False,
) -> None:
    """List the methods by loss and adapter: name, adapter, loss, description."""
    if context.invoked_subcommand is not None:
        context.obj = include or []  # `methods --include DIR show NAME` means the same folders
        return
    from ropo_bench.commands.method_words import grouped, row
    from ropo_bench.recipes.load import load_methods

    methods = load_methods("all", include=include or [])
    groups = [(group, list(map(row, members))) for group, members in grouped(methods)]
    if as_json:
        say(dump_json([{**line, "group": group} for group, lines in groups for line in lines], indent=2))
    elif sys.stdout.isatty():
        _print_table(groups)
    else:
        lines = [line for _, group in groups for line in group]
        widths = [max(len(line[key]) for line in lines) for key in ("name", "adapter", "loss")]
        for group, members in groups:
            say(f"# {group}")
            for line in members:
                padded = (f"{text:<{width}}" for text, width in zip(line.values(), widths, strict=False))
                say("  ".join((*padded, line["description"])))


@app.command()
def page() -> None:
    """Print docs/methods.md: every method with its formula, source, difference to dpo and size."""
    from ropo_bench.commands.method_page import page as methods_page

    say(methods_page(), end="")


@app.command()
def show(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(help="A method's name, a recipe file, or LOSS+ADAPTER.")],
    suite: Annotated[str | None, typer.Option(help="The suite whose schedule and overrides apply.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, as for `run`; repeatable.")] = None,
    include: Include = None,
    base: Annotated[
        str | None, typer.Option(help="Count parameters on this model: config.json, its folder, or a hub id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a method minimises and trains, its difference to dpo, and the merged recipe.

    With --base also the count of its parameters.
    """
    from ropo_bench.commands.method_words import as_yaml, diff_as_comments, explanation
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
    text = f"# {method.name}, suite {suite}\n" if suite else f"# {method.name}\n"
    text += explanation(method) + "#\n" + diff_as_comments(diff)
    if counts:
        share = f"{counts['trainable_params']:,} of {counts['total_params']:,} = {counts['percent']:.4f} %"
        text += f"# trainable parameters on {base}: {share}\n"
    text += as_yaml(method)
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


def _print_table(groups: list[tuple[str, list[Mapping[str, str]]]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ropo_bench.terminal.console import Screen

    table = Table("name", "adapter", "loss", "description", box=None, header_style="bold")
    for group, lines in groups:
        table.add_row(f"[bold]{escape(group)}[/bold]")
        for line in lines:
            table.add_row(*map(escape, line.values()))
    Screen().print(table)
