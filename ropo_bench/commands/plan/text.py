"""A plan as tables, on a terminal or in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from ropo_bench.planning.explain import reason_lines
from ropo_bench.planning.machine import CPU
from ropo_bench.terminal.console import page_screen
from ropo_bench.terminal.progress import duration_text

GIB, MIB = 1 << 30, 1 << 20
ORDER = ("reference", "train", "merge", "generate", "score", "canaries", "judge")
STYLES = {"cached": "green", "begun": "yellow", "to do": ""}
UNKNOWN = "unknown"
FITS = {"fits": "fits", "tight": "[yellow]tight[/]", "no": "[bold red]too big[/]", None: ""}


def print_plan(record: dict[str, Any]) -> None:
    """Print a plan record."""
    console = page_screen()
    console.print(_title(record), style="bold", markup=False)
    if record["nothing_cached_because"]:
        console.print(f"everything is to do: {record['nothing_cached_because']}", markup=False)
    console.print()
    console.print(_stages(record["steps"]))
    for line in reason_lines(record["steps"]):
        console.print(line, markup=False, soft_wrap=False)
    if record["training"]:
        console.print()
        console.print(_training(record["training"]))
    if record["generation"]:
        console.print()
        console.print(_generation(record["generation"]))
    if record["judging"]:
        console.print()
        console.print(_judging(record["judging"]))
    if record["power"]:
        console.print()
        console.print(_power(record["power"]))
        for line in power_lines(record["power"]):
            console.print(line, markup=False, soft_wrap=False)
    console.print()
    for line in _sums(record):
        console.print(line, markup=False, soft_wrap=False)


def _title(record: dict[str, Any]) -> str:
    base, data = record["base"], record["data"]
    size = f", {base['num_parameters']:,} parameters" if base["num_parameters"] else ""
    pairs = f", {data['num_pairs']:,} pairs" if data["num_pairs"] else ""
    here = "" if base["here"] else ", not on this machine"
    return f"plan of {record['run']} · base {base['name']}{size}{here} · data {data['name']}{pairs}"


def _table(*headers: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, header in enumerate(headers):
        table.add_column(header, justify="right" if number and header not in ("stage", "judge") else "left")
    return table


def _stages(steps: Sequence[dict[str, Any]]) -> Table:
    """A line a stage: how many of its rows are cached, begun and to do, and which."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("stage", "of", "cached", "begun", "to do"):
        table.add_column(header)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for step in sorted(steps, key=lambda step: ORDER.index(step["stage"])):
        what = "" if step["stage"] in ("train", "merge") else step["what"]
        groups.setdefault((step["stage"], what), []).append(step)
    for (stage, what), members in groups.items():
        cells = [
            f"[{style}]{escape(names)}[/]" if style and names else escape(names)
            for state, style in STYLES.items()
            for names in [_names([step for step in members if step["state"] == state])]
        ]
        table.add_row(stage, escape(what), *cells)
    return table


def _names(steps: Sequence[dict[str, Any]]) -> str:
    """Rows, those of several seeds with their number: ropo x3."""
    counts: dict[str, int] = {}
    for step in steps:
        counts[step["row"]] = counts.get(step["row"], 0) + 1
    return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in counts.items())


def _training(entries: Sequence[dict[str, Any]]) -> Table:
    counts = ("train", "runs", "steps", "trainable")
    table = _table(*counts, "weights", "gradients", "Adam", "activations", "loading", "a device", "")
    for entry in entries:
        memory = entry["memory"] or {}
        weights = memory["weights"] + memory["copies"] if memory else None
        parts = [weights, *map(memory.get, ("gradients", "optimizer", "activations", "floor")), entry["memory_bytes"]]
        numbers = [_count(entry[key]) for key in ("seeds_to_do", "num_steps", "trainable_params")]
        table.add_row(escape(entry["method"]), *numbers, *map(_size, parts), _fit(entry))
    return table


def _fit(entry: dict[str, Any]) -> str:
    """Whether it fits, and over how many devices."""
    number = f"x{entry['num_devices']}"
    if entry["fits"] in ("no", None) or entry["num_devices"] == 1:
        return FITS[entry["fits"]]
    return f"{FITS[entry['fits']]} {'FSDP ' * entry['sharded']}{number}"


def _generation(entries: Sequence[dict[str, Any]]) -> Table:
    table = _table("generate", "answers a model", "weights and one batch")
    for entry in entries:
        table.add_row(escape(entry["task"]), _count(entry["num_answers"]), _size(entry["memory_bytes"]))
    return table


def _judging(entries: Sequence[dict[str, Any]]) -> Table:
    table = _table("judge calls", "judge", "models", "calls", "tokens in", "tokens out", "US$")
    for entry in entries:
        counts = [_count(entry[key]) for key in ("calls", "input_tokens", "output_tokens")]
        models = "" if entry["models"] is None else str(entry["models"])
        table.add_row(escape(entry["task"]), escape(entry["judge"]), models, *counts, _usd(entry["cost_usd"]))
    return table


def _power(entries: Sequence[dict[str, Any]]) -> Table:
    """A line a tested column: standard errors, and the smallest true effects that are found in 80 % of tables."""
    heads = ["prompts", "seeds", "a row ±", "finds", "two rows ±", "finds", "after Holm", "less SFT ±", "finds"]
    table = _table("what it can see", *heads, "primary" if entries[0]["num_primary"] else "in the table")
    for entry in entries:
        row, pair = entry["row"] or {}, entry["difference"] or {}
        bound = "<= " if pair.get("at_most") else ""
        numbers = [_points(row.get("standard_error")), _points(row.get("effect"))]
        numbers += [
            bound * (key in pair) + _points(pair.get(key))
            for key in ("standard_error", "effect", "effect_after_holm")
        ]
        beside = entry["reference"] or {}
        numbers += [_points(beside.get(key)) for key in ("standard_error", "effect", "effect_in_family")]
        name = f"{entry['task']} {entry['header']}"
        table.add_row(escape(name), _count(entry["num_prompts"]), str(entry["num_seeds"]), *numbers)
    return table


def power_lines(entries: Sequence[dict[str, Any]]) -> list[str]:
    """What the figures rest on, and what wanted effects need."""
    lines = [
        "finds: smallest true effect found with 80 % power at 5 % two-sided, of a row from a fixed value, and of "
        f"two rows; after Holm: of {entries[0]['num_comparisons']:,} comparisons; less SFT: of a row from SFT"
    ]
    if entries[0]["num_primary"]:
        lines.append(
            f"primary: as the first of the {entries[0]['num_primary']:,} comparisons that the suite declares"
        )
    for basis in dict.fromkeys(entry["basis"] for entry in entries):
        names = ", ".join(dict.fromkeys(entry["task"] for entry in entries if entry["basis"] == basis))
        lines.append(f"{names}: {basis}")
    blind = [entry["task"] for entry in entries if entry["row"] and not entry["seed_noise_known"]]
    if blind:
        lines.append(
            f"what training seeds add is not in it and unknown for {', '.join(dict.fromkeys(blind))}: a run with "
            "--seeds 2 or more here would tell"
        )
    wanted = [entry for entry in entries if entry["wanted"]]
    if any(entry["num_seeds"] == 1 for entry in wanted):
        lines.append(
            "with 1 seed an effect is of these checkpoints, with more seeds it is of the methods, and needs more"
        )
    return lines + [_wanted_line(entry) for entry in wanted]


def _wanted_line(entry: dict[str, Any]) -> str:
    wanted = entry["wanted"]
    parts = []
    for words, name in (("", "alone"), ("after Holm ", "after_holm")):
        prompts, seeds = wanted[f"prompts_{name}"], wanted[f"seeds_{name}"]
        needs = f"{prompts:,} prompts" if prompts is not None else "no number of prompts is enough"
        needs += f" with {entry['num_seeds']} seed{'s' * (entry['num_seeds'] > 1)}"
        if entry["seed_noise_known"]:
            needs += f", or {seeds:,} seeds" if seeds is not None else ", or no number of seeds"
            needs += f" with {entry['num_prompts']:,} prompts"
        parts.append(f"{words}{needs}")
    return f"{entry['task']} {entry['header']}: to find {wanted['effect']:g} between two rows: {'; '.join(parts)}"


def _points(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _sums(record: dict[str, Any]) -> list[str]:
    disk = record["disk"]
    needed = f"{_size(disk['needed_bytes'])}, of it {_size(disk['of_it_temporary_bytes'])} for a while"
    lines = [f"machine: {_machine(record['machine'])}", f"disk: {needed}; {_size(disk['free_bytes'])} free"]
    if record["judging"]:
        costs = [entry["cost_usd"] for entry in record["judging"] if entry["cost_usd"] is not None]
        dearer = "" if record["cost_usd"] is not None else ", and what the judges without prices cost"
        calls = sum(entry["calls"] or 0 for entry in record["judging"])
        lines.append(f"judges: {calls:,} calls, {_usd(sum(costs))} US$ by their recipes' prices{dearer}")
    lines.append(f"time: {_time(record)}")
    return [*lines, *record["assumptions"].values()]


def _machine(machine: dict[str, Any]) -> str:
    if machine["name"] == CPU:
        return f"no GPU, {_size(machine['device_bytes'])} of memory left"
    devices = f"{machine['num_devices']} x " if machine["num_devices"] > 1 else ""
    name = "" if machine["name"] == "given" else f"{machine['name']}, "
    return f"{devices}{name}{_size(machine['device_bytes'])} a device"


def _time(record: dict[str, Any]) -> str:
    if record["seconds"] is not None:
        return duration_text(record["seconds"])
    untimed = record["no_basis_for_time"]
    names = ", ".join(untimed[:4]) + (f" and {len(untimed) - 4} more" if untimed[4:] else "")
    duration = f"{duration_text(record['seconds_known'])} and " if record["seconds_known"] else ""
    return f"{duration}unknown: no earlier run to go by for {names}"


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _usd(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.2f}"


def _size(value: int | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value / GIB:,.1f} GiB" if value >= GIB // 10 else f"{value / MIB:,.1f} MiB"
