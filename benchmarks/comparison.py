"""A whole comparison, 4 methods x 2 seeds: ours against eight TRL runs. python -m benchmarks.comparison [--json]

End to end after the model is loaded: reference pass, tokenization and data set on TRL's side, all optimizer steps
with the first. Ours computes the reference once for all runs; TRL computes it in every step (default) or once a run
(best). RoPO on TRL's side is our PEFT adapter in TRL's trainer. Every run is a process of its own, ours and TRL's in
turns; seconds of whole processes (imports and making the model too) stand beside.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._alternate import Job, Outcome, take_turns
from benchmarks._models import METHODS, shape_of
from benchmarks._results import Spread, about, emit, error_of, exit_with, no_gpu, parse, parser, spread, table
from benchmarks._sides import MICRO_BATCH_SIZE, Sides
from benchmarks._workload import BATCH_SIZE, prepare

BAR = 7.0  # times faster than TRL's default
Outcomes = Mapping[str, Sequence[Outcome]]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    found = parser(__doc__, rounds=1)
    found.add_argument("--methods", default=",".join(METHODS))
    found.add_argument("--seeds", type=int, default=2)
    found.add_argument("--configurations", default="default,best", help="of TRL")
    found.add_argument("--best-batch-size", type=int, default=MICRO_BATCH_SIZE, help="micro-batch of TRL's best")
    chosen = parse(found, arguments)
    if chosen.quick:
        chosen.methods, chosen.configurations, chosen.seeds = "ropo", "default", 1
    return chosen


def jobs(chosen: argparse.Namespace, sides: Sides, number: int) -> list[Job]:
    """The reference pass, then every run on both sides in turns; each round (number) starts with empty caches."""
    reference = str(sides.folder / f"reference-{number}.jsonl")
    found = [sides.ours("dpo", "reference", steps=0, reference=reference)]
    for seed in range(chosen.seeds):
        for method in chosen.methods.split(","):
            found.append(sides.ours(method, f"seed{seed}", seed=seed, reference=reference))
            for configuration in chosen.configurations.split(","):
                size = chosen.best_batch_size if configuration == "best" else MICRO_BATCH_SIZE
                rows = str(sides.folder / f"{method}-{configuration}-{seed}-{number}")
                found.append(sides.trl(method, configuration, size, f"seed{seed}", seed=seed, rows=rows))
    return found


def run_names(outcomes: Outcomes, side: str) -> list[str]:
    """Names of one side's jobs: `ours`, or a configuration of TRL's."""
    if side == "ours":
        return [name for name in outcomes if name.startswith("ours ")]
    return [name for name in outcomes if name.startswith("TRL ") and name.split(" ")[2] == side]


def total(outcomes: Outcomes, side: str, what: str) -> list[float] | None:
    """Seconds of all of a side's jobs, round by round; None if one of them failed."""
    found = [outcomes[name] for name in run_names(outcomes, side)]
    if not found or any("error" in outcome for one in found for outcome in one):
        return None
    return [sum(outcome[what] for outcome in one) for one in zip(*found, strict=True)]


def times(outcomes: Outcomes, configuration: str, what: str) -> Spread | None:
    """TRL's seconds over ours, round by round."""
    ours, theirs = total(outcomes, "ours", what), total(outcomes, configuration, what)
    if ours is None or theirs is None:
        return None
    return spread([their / our for our, their in zip(ours, theirs, strict=True)])


def loss_difference(outcomes: Outcomes, ours: str, theirs: str) -> float | None:
    """Greatest difference over all steps of a run."""
    a, b = outcomes[ours][0], outcomes[theirs][0]
    if "error" in a or "error" in b:
        return None
    differences: list[float] = [abs(x - y) for x, y in zip(a["losses"], b["losses"], strict=True)]
    return max(differences)


def markdown(chosen: argparse.Namespace, workload: Mapping[str, Any], outcomes: Outcomes) -> str:
    """Every run, then the totals."""
    configurations = chosen.configurations.split(",")
    headers = ["run", "ours s"]
    for configuration in configurations:
        headers += [f"TRL {configuration} s", "losses differ by"]
    lines = [["reference pass, once", _seconds(outcomes["ours dpo reference"]), *([""] * (len(headers) - 2))]]
    for name in [name for name in outcomes if name.startswith("ours ") and not name.endswith(" reference")]:
        _, method, seed = name.split(" ")
        line = [f"{method} {seed}", _seconds(outcomes[name])]
        for configuration in configurations:
            peer = next(n for n in run_names(outcomes, configuration) if n.split(" ")[1::3] == [method, seed])
            difference = loss_difference(outcomes, name, peer)
            line += [_seconds(outcomes[peer]), "" if difference is None else f"{difference:.1e}"]
        lines.append(line)
    for what, title in (("work_seconds", "all"), ("process_seconds", "all, whole processes")):
        line = [title, _total(outcomes, "ours", what)]
        for configuration in configurations:
            faster = times(outcomes, configuration, what)
            line += [_total(outcomes, configuration, what), "" if faster is None else f"{faster.text()}x ours"]
        lines.append(line)
    bar = times(outcomes, "default", "work_seconds")
    verdict = "not measured" if bar is None else f"{bar.text()}: {'holds' if bar.median >= BAR else 'does not hold'}"
    return "\n\n".join(
        [about(chosen, workload), table(headers, lines), f"Asked: {BAR:g} times TRL's default. {verdict}"]
    )


def _seconds(outcomes: Sequence[Outcome]) -> str:
    if any("error" in outcome for outcome in outcomes):
        return error_of(outcomes).replace("|", "/")
    return spread([outcome["work_seconds"] for outcome in outcomes]).text(1)


def _total(outcomes: Outcomes, side: str, what: str) -> str:
    found = total(outcomes, side, what)
    return "" if found is None else spread(found).text(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a run failed."""
    chosen = options(arguments)
    if no_gpu(chosen):
        return 0
    with tempfile.TemporaryDirectory(prefix="comparison-") as name:
        sides = Sides(Path(name), chosen)
        workload = prepare(Path(name), chosen.data, shape_of(chosen.shape), chosen.steps * BATCH_SIZE)
        outcomes: dict[str, list[Outcome]] = {}
        for number in range(chosen.rounds):
            for job, found in take_turns(jobs(chosen, sides, number), 1, sides.run).items():
                outcomes.setdefault(job, []).extend(found)
    faster = {c: times(outcomes, c, "work_seconds") for c in chosen.configurations.split(",")}
    content = {"workload": workload, "runs": outcomes, "times_faster": faster, "bar": BAR}
    emit(chosen, content, markdown(chosen, workload, outcomes))
    return int(any(value is None for value in faster.values()))


if __name__ == "__main__":
    exit_with(main)
