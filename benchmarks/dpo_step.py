"""One optimizer step: our core against TRL's DPOTrainer + PEFT. python -m benchmarks.dpo_step [--json]

Both sides train the same random model (--shape) on the same real pairs (--data) in the same order, 8 a step, each in
a process of its own, in turns. Rates are those of a round's steps after the first: the median over the rounds, and
the range. "with reference": each pair's reference pass is paid too, once, as at a cold start; before it stands the
warm rate. Memory is the peak above the loaded model. Step-1 losses must agree within 1e-4 in float32, or the exit
code is 1.

    python -m benchmarks.dpo_step                                    # CPU, 100 M parameters, HH-RLHF, fp32
    python -m benchmarks.dpo_step --dtype bfloat16
    python -m benchmarks.dpo_step --data hh-long                     # UltraFeedback's lengths
    python -m benchmarks.dpo_step --device cuda --shape llama3-8b --dtype bfloat16 --data hh-long \\
        --methods lora-dpo,oft,ropo --peers lora-dpo,oft
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._alternate import Job, Outcome, take_turns
from benchmarks._models import METHODS, shape_of
from benchmarks._results import (
    GIB,
    Measured,
    Spread,
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
from benchmarks._sides import MICRO_BATCH_SIZE, Sides
from benchmarks._workload import BATCH_SIZE, prepare

TOLERANCE = 1e-4  # of step-1 losses in float32
# On each device, TRL's configuration: (times faster at least, share of its memory at most).
BARS: dict[str, dict[str, tuple[float, float | None]]] = {
    "cpu": {"default": (6.0, 0.35), "best": (4.0, 0.35)},
    "cuda": {"default": (2.0, None), "best": (2.0, None)},
}
ROPO_OVER_LORA = 1.10
PAIRS_PER_SECOND = 10.0  # RoPO on a GPU in the shape of Llama-3-8B
Rows = Mapping[str, Measured | None]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    found = parser(__doc__)
    found.add_argument("--methods", default=",".join(METHODS), help="of our core")
    found.add_argument("--peers", default="dpo,lora-dpo,oft", help="of TRL + PEFT; ropo: our adapter in TRL")
    found.add_argument("--configurations", default="default,best", help="of TRL: default, best, checkpointed")
    found.add_argument("--trl-batch-sizes", default="1,2,4,8", help="micro-batches that `best` tries in round 1")
    found.add_argument("--gradient-checkpointing", action="store_true", help="of our core")
    chosen = parse(found, arguments)
    if chosen.quick:
        chosen.methods, chosen.peers, chosen.trl_batch_sizes = "lora-dpo,ropo", "lora-dpo", "4"
    return chosen


def jobs(chosen: argparse.Namespace, sides: Sides) -> list[Job]:
    """Every side's work; a method's own sides stand beside each other, so they take turns."""
    ours, peers = chosen.methods.split(","), chosen.peers.split(",") if chosen.peers else []
    found: list[Job] = []
    for method in dict.fromkeys([*ours, *peers]):
        if method in ours:
            found.append(sides.ours(method, gradient_checkpointing=chosen.gradient_checkpointing))
        for configuration in chosen.configurations.split(",") if method in peers else ():
            sizes = map(int, chosen.trl_batch_sizes.split(",")) if configuration == "best" else (MICRO_BATCH_SIZE,)
            found += [sides.trl(method, configuration, size) for size in sizes]
    return found


def slower_sizes(outcomes: Mapping[str, Sequence[Outcome]]) -> set[str]:
    """Of TRL's `best`, all but the fastest batch size of each method."""
    seconds = {
        name: statistics.median(s for outcome in found for s in outcome["step_seconds"])
        for name, found in outcomes.items()
        if " best " in name and found and not any("error" in outcome for outcome in found)
    }
    groups: dict[str, list[str]] = {}
    for name in seconds:
        groups.setdefault(name.rpartition(" ")[0], []).append(name)
    return {name for group in groups.values() for name in group if name != min(group, key=seconds.__getitem__)}


def best_of(rows: Rows, start: str) -> Measured | None:
    """The fastest row whose name starts so."""
    found = [row for name, row in rows.items() if name.startswith(start) and row is not None]
    return max(found, key=lambda row: row.pairs.median, default=None)


def bars(rows: Rows, device: str) -> list[dict[str, Any]]:
    """What the project asks of its core, and what was measured."""
    found: list[dict[str, Any]] = []
    for method in ("ropo", "lora-dpo"):
        for configuration, (least, most) in BARS[device].items():
            ours, theirs = best_of(rows, f"ours {method} "), best_of(rows, f"TRL lora-dpo {configuration} ")
            if ours is None or theirs is None:
                continue
            what, faster = f"{method} over TRL's lora-dpo, {configuration}", times_faster(ours, theirs)
            found.append(_bar(f"{what}: pairs/s", faster, f"at least {least:g}", faster.median >= least))
            share = ours.peak_bytes.median / theirs.peak_bytes.median
            if most is not None:
                memory = Spread(share, share, share)
                found.append(_bar(f"{what}: peak memory", memory, f"at most {most:g}", share <= most))
    ropo, lora = best_of(rows, "ours ropo "), best_of(rows, "ours lora-dpo ")
    if ropo is not None and lora is not None:
        slower = times_faster(lora, ropo)
        holds = slower.median <= ROPO_OVER_LORA
        found.append(_bar("ropo over lora-dpo, both ours: seconds", slower, f"at most {ROPO_OVER_LORA}", holds))
    if ropo is not None and device == "cuda":
        holds = ropo.pairs.median >= PAIRS_PER_SECOND
        found.append(_bar("ropo: pairs/s", ropo.pairs, f"at least {PAIRS_PER_SECOND:g}", holds))
    return found


def _bar(what: str, ratio: Spread, bar: str, holds: bool) -> dict[str, Any]:
    return {"what": what, "ratio": ratio, "bar": bar, "holds": holds}


def loss_difference(rows: Rows) -> float:
    """Greatest difference of step-1 losses between any two sides."""
    first = [row.losses[0] for row in rows.values() if row is not None]
    return max(first, default=0.0) - min(first, default=0.0)


def markdown(
    chosen: argparse.Namespace, workload: Mapping[str, Any], rows: Rows, outcomes: Mapping[str, Sequence[Outcome]]
) -> str:
    """Four tables: what was measured, the bars, and both trajectories side by side."""
    headers = ["side", "method", "as", "micro", "pairs/s", "tokens/s", "with reference", "peak GiB", "of TRL default"]
    lines = [_line(name, row, rows, outcomes[name]) for name, row in rows.items()]
    checks = [
        [b["what"], b["ratio"].text(), b["bar"], "yes" if b["holds"] else "no"] for b in bars(rows, chosen.device)
    ]
    parts = [about(chosen, workload), table(headers, lines, 4), table(["bar", "measured", "asked", "holds"], checks)]
    for field, title, decimals in (("losses", "loss", 6), ("logps_chosen", "logps/chosen", 3)):
        steps = [f"{title}, step {step + 1}" for step in range(chosen.steps)]
        values = {name: getattr(row, field) for name, row in rows.items() if row is not None}
        lines = [[name, *(f"{value:.{decimals}f}" for value in found)] for name, found in values.items()]
        parts.append(table(["side", *steps], lines))
    paths = sorted({row.rotation for row in rows.values() if row is not None and row.rotation is not None})
    last = f"Greatest difference of step-1 losses: {loss_difference(rows):.1e}. Our rotations: {', '.join(paths)}."
    return "\n\n".join([*parts, last])


def _line(name: str, row: Measured | None, rows: Rows, outcomes: Sequence[Outcome]) -> list[str]:
    side, method, configuration, *size = name.split(" ")
    head = [side, method, configuration, *(size or [str(MICRO_BATCH_SIZE)])]
    if row is None:
        return [*head, error_of(outcomes).replace("|", "/"), "", "", "", ""]
    peer = best_of(rows, f"TRL {method} default ") or best_of(rows, "TRL lora-dpo default ")
    return [
        *head,
        row.pairs.text(3),
        row.tokens.text(0),
        row.with_reference.text(3),
        row.peak_bytes.text(2, GIB),
        "" if peer is None else times_faster(row, peer).text() + "x",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if the two sides did not do the same work."""
    chosen = options(arguments)
    if no_gpu(chosen):
        return 0
    with tempfile.TemporaryDirectory(prefix="dpo-step-") as name:
        sides = Sides(Path(name), chosen)
        workload = prepare(Path(name), chosen.data, shape_of(chosen.shape), chosen.steps * BATCH_SIZE)
        outcomes = take_turns(jobs(chosen, sides), chosen.rounds, sides.run, slower_sizes)
    rows = {name: measured(found) for name, found in outcomes.items()}
    errors = {name: error_of(outcomes[name]) for name, row in rows.items() if row is None}
    same = chosen.dtype != "float32" or loss_difference(rows) <= TOLERANCE
    found = {
        "workload": workload,
        "rows": rows,
        "errors": errors,
        "bars": bars(rows, chosen.device),
        "same_work": same,
    }
    emit(chosen, found, markdown(chosen, workload, rows, outcomes))
    if not same:
        print(f"step-1 losses differ by {loss_difference(rows):.1e}, more than {TOLERANCE:g}", file=sys.stderr)
    return 0 if same else 1


if __name__ == "__main__":
    exit_with(main)
