"""How time and memory grow: with length, vocabulary, width and runs. python -m benchmarks.scaling [--json]

One axis changes at a time, the others stay at --shape and --data's own lengths. Along the first axis the data's texts
are joined until the median sequence has so many tokens. The last axis is a comparison of so many seeds: one reference
pass serves all of ours. TRL's default LoRA-DPO stands beside our RoPO.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._alternate import Job, Outcome, take_turns
from benchmarks._models import shape_of
from benchmarks._results import (
    GIB,
    Measured,
    about,
    emit,
    error_of,
    exit_with,
    measured,
    no_gpu,
    parse,
    parser,
    table,
    times_faster,
)
from benchmarks._sides import Sides
from benchmarks._workload import BATCH_SIZE, prepare
from ropo_bench.recipes.suite import ShapeRecipe

HEAD = 64


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    found = parser(__doc__, shape="10m", rounds=2)
    found.add_argument("--tokens", default="128,256,512,1024", help="median tokens of a sequence")
    found.add_argument("--vocabularies", default="32000,64000,128256")
    found.add_argument("--widths", default="256,512,1024", help="multiples of 64")
    found.add_argument("--runs", type=int, default=4, help="seeds of the largest comparison")
    found.add_argument("--ours", default="ropo", help="the method in our core")
    found.add_argument("--peer", default="lora-dpo", help="the method in TRL; empty: none")
    chosen = parse(found, arguments)
    if chosen.quick:
        chosen.tokens, chosen.vocabularies, chosen.widths, chosen.runs, chosen.peer = "512", "512", "64", 2, ""
    return chosen


def points(chosen: argparse.Namespace) -> list[tuple[str, int, ShapeRecipe, int | None]]:
    """(axis, value, shape, median tokens or the data's own)."""
    shape = shape_of(chosen.shape)

    def values(text: str) -> list[int]:
        return [int(value) for value in text.split(",") if value]

    found: list[tuple[str, int, ShapeRecipe, int | None]] = []
    found += [("median tokens", n, shape, n) for n in values(chosen.tokens)]
    found += [
        ("vocabulary", v, shape.model_copy(update={"vocab_size": v}), None) for v in values(chosen.vocabularies)
    ]
    found += [("d", d, _wide(shape, d), None) for d in values(chosen.widths)]
    return found


def _wide(shape: ShapeRecipe, d: int) -> ShapeRecipe:
    heads = max(1, d // HEAD)
    sizes = {"hidden_size": d, "intermediate_size": 8 * d // 3, "num_attention_heads": heads, "head_dim": None}
    return shape.model_copy(update={**sizes, "num_key_value_heads": heads})


def measure(chosen: argparse.Namespace, shape: ShapeRecipe, tokens: int | None) -> dict[str, Any]:
    """One point: our side and TRL's."""
    with tempfile.TemporaryDirectory(prefix="scaling-") as name:
        sides = Sides(Path(name), chosen)
        workload = prepare(Path(name), chosen.data, shape, chosen.steps * BATCH_SIZE, tokens)
        jobs = [sides.ours(chosen.ours)] + ([sides.trl(chosen.peer, "default")] if chosen.peer else [])
        outcomes = take_turns(jobs, chosen.rounds, sides.run)
    return {
        "workload": workload,
        **{side: measured(outcomes[job.name]) for side, job in zip(("ours", "TRL"), jobs, strict=False)},
        "errors": [error_of(found) for found in outcomes.values() if measured(found) is None],
    }


def compare(chosen: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a comparison of 1, 2 ... runs on both sides, the reference pass included."""
    with tempfile.TemporaryDirectory(prefix="scaling-") as name:
        sides = Sides(Path(name), chosen)
        workload = prepare(Path(name), chosen.data, shape_of(chosen.shape), chosen.steps * BATCH_SIZE)
        reference = str(sides.folder / "reference.jsonl")
        ours = [sides.ours(chosen.ours, f"seed{s}", seed=s, reference=reference) for s in range(chosen.runs)]
        trl = [sides.trl(chosen.peer, "default", label=f"seed{s}", seed=s) for s in range(chosen.runs)]
        turns = [job for pair in zip(ours, trl, strict=True) for job in pair] if chosen.peer else ours
        outcomes = take_turns(turns, 1, sides.run)
    return {"workload": workload, "ours": _sums(ours, outcomes), "TRL": _sums(trl, outcomes) if chosen.peer else None}


def _sums(jobs: Sequence[Job], outcomes: Mapping[str, Sequence[Outcome]]) -> list[float] | None:
    """Work seconds of the first 1, 2 ... jobs; None if one failed."""
    found = [outcomes[job.name][0] for job in jobs]
    if any("error" in outcome for outcome in found):
        return None
    return [sum(outcome["work_seconds"] for outcome in found[: n + 1]) for n in range(len(found))]


def line(axis: str, value: int, point: Mapping[str, Any]) -> list[str]:
    """One row of the first table."""
    cells = [axis, str(value), f"{point['workload']['median_sequence_tokens']:.0f}"]
    sides: list[Measured | None] = [point["ours"], point.get("TRL")]
    for side in sides:
        cells += [side.pairs.text(3), side.peak_bytes.text(2, GIB)] if side is not None else ["", ""]
    ours, theirs = sides
    if ours is None or theirs is None:
        return [*cells, "; ".join(point["errors"]).replace("|", "/")]
    return [*cells, times_faster(ours, theirs).text()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    chosen = options(arguments)
    if no_gpu(chosen):
        return 0
    found = [(axis, value, measure(chosen, shape, tokens)) for axis, value, shape, tokens in points(chosen)]
    runs = compare(chosen)
    names = [
        f"ours, {chosen.ours}: pairs/s",
        "peak GiB",
        f"TRL default, {chosen.peer or 'none'}: pairs/s",
        "peak GiB",
    ]
    first = table(["axis", "value", "tokens", *names, "times"], [line(*point) for point in found], 1)
    ours, trl = runs["ours"] or [], runs["TRL"] or [None] * chosen.runs
    lines = [
        [
            str(n + 1),
            f"{our:.1f}",
            "" if their is None else f"{their:.1f}",
            "" if their is None else f"{their / our:.2f}",
        ]
        for n, (our, their) in enumerate(zip(ours, trl, strict=True))
    ]
    second = table(["runs", "ours s", "TRL default s", "times"], lines, 0)
    content = {"points": [{"axis": axis, "value": value, **point} for axis, value, point in found], "runs": runs}
    emit(chosen, content, "\n\n".join([about(chosen, runs["workload"]), first, second]))
    return int(any(point["errors"] for _, _, point in found) or runs["ours"] is None)


if __name__ == "__main__":
    exit_with(main)
