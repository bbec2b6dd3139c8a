"""What the scripts share at their two ends: options, and medians, tables and JSON of what was measured."""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from benchmarks._alternate import Outcome
from benchmarks._workload import BATCH_SIZE
from ropo_bench.errors import RopoBenchError
from ropo_bench.runs.provenance import provenance

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of what was measured."""

    median: float
    low: float
    high: float

    def text(self, decimals: int = 2, unit: float = 1.0) -> str:
        """The median, and the range in brackets."""
        median, low, high = (f"{value / unit:.{decimals}f}" for value in (self.median, self.low, self.high))
        return f"{median} ({low}–{high})"


def spread(values: Sequence[float]) -> Spread:
    """Median and range of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Measured:
    """One side over its rounds; rates a second, of a round's steps after the first.

    with_reference: pairs a second where each pair's reference pass is paid too, once. reference_seconds: a pair, the
    dearest round (later rounds may find a cache), None where the reference is part of every step. peak_bytes: above
    the loaded model. round_seconds: of those steps, round by round. losses, logps_chosen: of each step.
    rotation: which code turned our rotations (triton, c, torch).
    """

    pairs: Spread
    tokens: Spread
    with_reference: Spread
    reference_seconds: float | None
    peak_bytes: Spread
    model_bytes: int
    round_seconds: list[float]
    step_seconds: list[list[float]]
    losses: list[float]
    logps_chosen: list[float]
    rotation: str | None


def measured(outcomes: Sequence[Outcome]) -> Measured | None:
    """What one side's children measured; None if one of them failed."""
    if not outcomes or any("error" in outcome for outcome in outcomes):
        return None
    first = outcomes[0]
    num_pairs = BATCH_SIZE * len(first["step_seconds"])
    seconds = [sum(outcome["step_seconds"]) for outcome in outcomes]
    a_pair = [o["reference_seconds"] / o["reference_pairs"] for o in outcomes if o["reference_pairs"]]
    reference = max(a_pair, default=None)
    return Measured(
        pairs=spread([num_pairs / s for s in seconds]),
        tokens=spread([sum(first["step_tokens"]) / s for s in seconds]),
        with_reference=spread([1 / (s / num_pairs + (reference or 0.0)) for s in seconds]),
        reference_seconds=reference,
        peak_bytes=spread([outcome["peak_bytes_above_model"] for outcome in outcomes]),
        model_bytes=first["model_bytes"],
        round_seconds=seconds,
        step_seconds=[outcome["step_seconds"] for outcome in outcomes],
        losses=first["losses"],
        logps_chosen=first["logps_chosen"],
        rotation=first.get("rotation"),
    )


def error_of(outcomes: Sequence[Outcome]) -> str:
    """Why there is nothing to show, in one line."""
    return next((outcome["error"] for outcome in outcomes if "error" in outcome), "not measured")


def times_faster(ours: Measured, theirs: Measured) -> Spread:
    """Their seconds over ours, round by round: the same pairs on both sides."""
    return spread([their / our for their, our in zip(theirs.round_seconds, ours.round_seconds, strict=False)])


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table whose first `left` columns are text and the others numbers."""
    rule = ["---"] * left + ["---:"] * (len(headers) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headers, rule, *rows))


def parser(description: str | None, shape: str = "100m", rounds: int = 3) -> argparse.ArgumentParser:
    """The options that all these scripts share, with a script's own defaults."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--steps", type=int, default=5, help="optimizer steps a run, the first of them warm-up")
    found.add_argument("--rounds", type=int, default=rounds, help="how often every side has its turn")
    found.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each child")
    found.add_argument("--timeout", type=float, default=3600, help="seconds after which a child is stopped")
    found.add_argument("--data", default="hh", help="hh, hh-long, dpo-en-demo, or a file of pairs")
    found.add_argument("--shape", default=shape, help="tiny, 10m, 100m, or a suite's name (smol, llama3-8b)")
    found.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the matrix products")
    found.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    found.add_argument("--quick", action="store_true", help="a tiny model, two steps, one round: does it run?")
    found.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return found


def parse(description: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options, with what --quick changes."""
    options = description.parse_args(arguments)
    if options.quick:
        options.steps, options.rounds, options.shape = 2, 1, "tiny"
    if options.steps < 2:
        description.error("--steps: the first step is warm-up, so give 2 at least")
    return options


def no_gpu(options: argparse.Namespace) -> bool:
    """Whether a GPU is asked for and there is none; says so in the place of a table."""
    import torch

    missing = options.device == "cuda" and not torch.cuda.is_available()
    if missing:
        emit(options, {"not_measured": "no GPU"}, f"{options.shape} on a GPU: not measured (no GPU is at hand)")
    return missing


def about(options: argparse.Namespace, workload: Mapping[str, Any]) -> str:
    """One line over the tables: the pairs, the model and how it was measured."""
    prompt, completion, sequence = (
        workload[f"median_{what}_tokens"] for what in ("prompt", "completion", "sequence")
    )
    pairs = f"median {sequence:.0f} tokens a sequence (prompt {prompt:.0f}, completion {completion:.0f})"
    return (
        f"{workload['data']}: {pairs}, longest {workload['max_sequence_tokens']}. Llama, shape {options.shape}, "
        f"random weights, {workload['num_parameters'] / 1e6:.1f} M parameters; {options.dtype} on {options.device}, "
        f"{options.threads} threads; {options.steps} steps of {BATCH_SIZE} pairs, {options.rounds} rounds."
    )


def emit(options: argparse.Namespace, found: Mapping[str, Any], markdown: str) -> None:
    """Print the JSON object, with what made it, or the tables."""
    if not options.json:
        print(markdown)
        return
    made_with = provenance()
    made_with["packages"]["trl"] = metadata.version("trl")
    content = {"schema": 1, "settings": vars(options), **found, "made_with": made_with}
    print(json.dumps(content, indent=1, default=asdict))


def exit_with(main: Callable[[], int]) -> None:
    """End the script with main's exit code, or with a user's error in one line; a kill takes the child too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        raise SystemExit(main())
    except RopoBenchError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
