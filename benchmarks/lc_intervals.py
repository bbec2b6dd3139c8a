"""Errors of published AlpacaEval 2 length-controlled win rates: python -m benchmarks.lc_intervals [--json]

The annotations are assets (from ROPO_BENCH_ASSETS, or downloaded). Prints a Markdown table, or one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ropo_bench.scoring.alpaca_eval import calibration, estimator
from ropo_bench.scoring.alpaca_eval.leaderboard import read_annotations, read_leaderboard
from ropo_bench.scoring.alpaca_eval.official import control_length as their_control_length
from ropo_bench.scoring.alpaca_eval.win_rates import LC, measure_annotations
from ropo_bench.scoring.length_control import C, control_length, win_rates
from ropo_bench.sources.assets import asset

MODELS = ("gpt4_1106_preview", "FuseChat-Llama-3.1-8B-Instruct", "gpt-3.5-turbo-1106", "gemma-7b-it")


@dataclass(frozen=True, slots=True)
class Line:
    """One model. *_error: standard errors in points; lc_theirs: alpaca_eval's code; lc_listed: its leaderboard's."""

    model: str
    win_rate: float
    win_rate_error: float
    lc_published: float
    lc: float
    lc_listed_error: float | None
    lc_theirs_error: float
    lc_error: float
    lc_low: float
    lc_high: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Processor seconds for 400 resamples, and the largest difference of win rates in points."""

    model: str
    batched_seconds: float
    liblinear_seconds: float
    ratio: float
    difference: float


def line(model: str) -> Line:
    """One model's figures, at the C at which the leaderboard was reached."""
    annotations = read_annotations(asset(f"alpaca_eval/{model}/annotations.json"))
    listed = next(r for r in read_leaderboard(asset("alpaca_eval/leaderboard_rows.csv")) if r.name == model)
    (row,) = measure_annotations(annotations, C)
    raw, controlled = row.measurements["win_rate"], row.measurements[LC]
    rows = [index for index in calibration.rows_of([a.instruction for a in annotations]) if index is not None]
    itself = model == calibration.REFERENCE  # nothing to fit, and alpaca_eval's code divides by 0
    theirs = 0.0 if itself else their_control_length(annotations, rows, C).lc_standard_error
    assert raw.value is not None
    assert raw.standard_error is not None
    assert listed.length_controlled_winrate is not None
    assert controlled.value is not None
    assert controlled.standard_error is not None
    assert controlled.low is not None
    assert controlled.high is not None
    return Line(
        model,
        raw.value,
        raw.standard_error,
        listed.length_controlled_winrate,
        controlled.value,
        listed.lc_standard_error,
        theirs,
        controlled.standard_error,
        controlled.low,
        controlled.high,
    )


def markdown(lines: Sequence[Line]) -> str:
    """The table of docs/statistics.md."""
    rows = [
        "| model | WR | SE of WR | LC WR published | ours | SE on the leaderboard | SE by alpaca_eval's code"
        " | SE by bootstrap | 95 % interval | too small by |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in lines:
        listed = "–" if one.lc_listed_error is None else f"{one.lc_listed_error:.2f}"
        ratio = f"{one.lc_error / one.lc_theirs_error:.1f} x" if one.lc_theirs_error else "–"
        rows.append(
            f"| {one.model} | {one.win_rate:.2f} | {one.win_rate_error:.2f} | {one.lc_published:.2f} | {one.lc:.2f} "
            f"| {listed} | {one.lc_theirs_error:.2f} | {one.lc_error:.2f} "
            f"| {one.lc_low:.1f} to {one.lc_high:.1f} | {ratio} |"
        )
    return "\n".join(rows)


def speed(model: str) -> Speed:
    """400 resamples at once beside one liblinear fit each, of which 20 are made and timed."""
    annotations = read_annotations(asset(f"alpaca_eval/{model}/annotations.json"))
    preferences = np.array([a.preference for a in annotations], dtype=float) - 1
    deltas = np.array([len(a.output_1) - len(a.output_2) for a in annotations], dtype=float)
    columns, gamed, n = (preferences, deltas, calibration.difficulties()), estimator.gamed(), len(annotations)
    weight_RX = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=400)
    control_length(*columns, gamed=gamed)  # scikit-learn is imported on use
    began = time.process_time()
    rates_R = win_rates(weight_RX.astype(float), *columns, gamed=gamed)
    ours = time.process_time() - began
    indices = [np.repeat(np.arange(n), weight_X) for weight_X in weight_RX[:20]]
    began = time.process_time()
    theirs_R = [control_length(*(column[index] for column in columns), gamed=gamed).win_rate for index in indices]
    liblinear = (time.process_time() - began) * 20
    return Speed(model, ours, liblinear, liblinear / ours, float(np.abs(rates_R[:20] - theirs_R).max()))


def main() -> None:
    """Print the table and the speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    lines = [line(model) for model in MODELS]
    fast = speed(MODELS[-1])
    if options.json:
        print(json.dumps({"models": [asdict(one) for one in lines], "speed": asdict(fast)}, indent=1))
        return
    print(markdown(lines))
    print(
        f"\n400 resamples of {fast.model}: {fast.batched_seconds:.2f} s of one core; one liblinear fit each:"
        f" {fast.liblinear_seconds:.1f} s ({fast.ratio:.0f} x); they differ by {fast.difference:.3f} points at most"
    )


if __name__ == "__main__":
    main()
