"""Who runs where and when, as text: a line a row, and a bar a device."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from ropo_bench.stages.parallel.schedule import DEVICE
from ropo_bench.terminal.progress import duration_text

BAR = 84
IDLE, SHARED = ".", "="


def rows_table(stages: Sequence[Mapping[str, Any]]) -> Table:
    """For every row and seed: on which devices it trains and how, and from when to when it is made."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("who", "trains on", "how", "trained", "answers", "scored", "judged"):
        table.add_column(header)
    rows: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for stage in stages:
        if stage["stage"] not in ("pairs", "reference", "canaries"):
            rows.setdefault((stage["row"], stage["seed"]), []).append(stage)
    letters = _letters(stages)
    for row, seed in sorted(rows, key=lambda key: (list(letters).index(key[0]), key[1])):
        members = rows[row, seed]
        policy = next((stage for stage in members if stage["stage"] == "policy"), None)
        judged = [stage for stage in members if stage["place"].startswith("judge")]
        scored = [stage for stage in members if stage["stage"] == "scores" and stage not in judged]
        answers = [stage for stage in members if stage["stage"] == "completions"]
        table.add_row(
            escape(f"{letters[row]} {row} {seed}"),
            "" if policy is None else numbers_text(policy["slots"]),
            "" if policy is None else _how(policy),
            *(_span(some) for some in ([policy] if policy else [], answers, scored, judged)),
        )
    return table


def bars(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """A bar a device: small letters train, capitals merge, answer and score on it; and what the letters stand for."""
    on_devices = [stage for stage in stages if stage["place"] == DEVICE]
    if not on_devices:
        return []
    end, letters = max(stage["end"] for stage in stages), _letters(stages)
    width = max(map(len, map(str, range(1 + max(slot for stage in on_devices for slot in stage["slots"])))))
    lanes: dict[int, list[str]] = {}
    for stage in on_devices:
        letter = SHARED if stage["stage"] == "reference" else letters[stage["row"]]
        letter = letter if stage["stage"] == "policy" else letter.upper()
        first, last = (round(BAR * stage[key] / end) for key in ("start", "end"))
        for slot in stage["slots"]:
            lane = lanes.setdefault(slot, [IDLE] * BAR)
            lane[first : max(last, first + 1)] = letter * (min(max(last, first + 1), BAR) - first)
    names = ", ".join(f"{letter} {row}" for row, letter in letters.items())
    lines = [f"device {slot:>{width}} {''.join(lanes[slot])}" for slot in sorted(lanes)]
    scale = f"{'':{8 + width}}0 h{duration_text(end):>{BAR - 3}}"
    return [*lines, scale, f"{SHARED} reference; small letters train, capitals merge and answer: {names}"]


def _letters(stages: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    rows = dict.fromkeys(stage["row"] for stage in stages if stage["row"] and stage["stage"] != "canaries")
    letters = string.ascii_lowercase
    return {row: letters[number % len(letters)] for number, row in enumerate(sorted(rows, key=lambda r: r != "SFT"))}


def _how(policy: Mapping[str, Any]) -> str:
    """Copies or shards, and whether activations are computed twice."""
    if policy["spread"] is None:
        return str(policy["basis"])
    spread = "FSDP" if policy["sharded"] else "whole" if len(policy["slots"]) == 1 else "copies"
    return spread + ", checkpointing" * bool(policy["gradient_checkpointing"])


def numbers_text(slots: Sequence[int]) -> str:
    """0-3,7."""
    ranges: list[list[int]] = []
    for slot in sorted(slots):
        if ranges and slot == ranges[-1][1] + 1:
            ranges[-1][1] = slot
        else:
            ranges.append([slot, slot])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _span(stages: Sequence[Mapping[str, Any]]) -> str:
    """1:02-2:10, hours and minutes from the beginning."""
    if not stages:
        return ""
    return "-".join(
        f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02d}"
        for seconds in (min(stage["start"] for stage in stages), max(stage["end"] for stage in stages))
    )
