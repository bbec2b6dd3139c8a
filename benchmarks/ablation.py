"""What each part of the core is worth: every switch turned over in turn. python -m benchmarks.ablation [--json]

The same pairs, model and steps each time; "times" is the seconds of that row over those of the core as shipped, so
more than 1 is what the switch saves. "reference in every step" leaves the cache out. Differences are those of step 1
from the plainest core (all switches off): the loss, and |g - g0| / |g0| over all gradients.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

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
from ropo_bench.recipes.method import CoreRecipe

SHIPPED, PLAIN, LIVE = "as shipped", "all off", "reference in every step"


def variants() -> dict[str, dict[str, bool]]:
    """Title of each row and its switches."""
    shipped = CoreRecipe().model_dump()
    found = {SHIPPED: shipped}
    for name, on in shipped.items():
        found[f"{name} {'off' if on else 'on'}"] = {**shipped, name: not on}
    found[PLAIN] = dict.fromkeys(shipped, False)
    return found


def jobs(method: str, sides: Sides) -> dict[str, Job]:
    """One job a row."""

    def job(title: str, **extra: Any) -> Job:
        gradients = str(sides.folder / f"{method} {title}.pt")
        return sides.ours(method, title, gradients=gradients, **extra)

    found = {title: job(title, core=switches) for title, switches in variants().items()}
    return {**found, LIVE: job(LIVE, core=found[SHIPPED].spec["core"], reference="live")}


def gradient_difference(method: str, title: str, folder: Path) -> float | None:
    """|g - g0| / |g0| of step 1, g0 that of the plainest core; None where one is missing."""
    paths = [folder / f"{method} {name}.pt" for name in (title, PLAIN)]
    if not all(path.exists() for path in paths):
        return None
    one, plain = (torch.load(path).double() for path in paths)
    return float((one - plain).norm() / plain.norm())


def rows(method: str, made: Mapping[str, Job], outcomes: Mapping[str, Sequence[Outcome]], folder: Path) -> list[Any]:
    """One a variant: what was measured, and its differences from the plainest core."""
    results = {title: measured(outcomes[job.name]) for title, job in made.items()}
    shipped, plain = results[SHIPPED], results[PLAIN]
    found = []
    for title, result in results.items():
        found.append(
            {
                "method": method,
                "core": title,
                "measured": result,
                "times": None if result is None or shipped is None else times_faster(shipped, result),
                "loss_difference": None if result is None or plain is None else result.losses[0] - plain.losses[0],
                "gradient_difference": gradient_difference(method, title, folder),
                "error": error_of(outcomes[made[title].name]) if result is None else None,
            }
        )
    return found


def line(row: Mapping[str, Any]) -> list[str]:
    """One row of the table."""
    result: Measured | None = row["measured"]
    if result is None:
        return [row["method"], row["core"], row["error"].replace("|", "/"), *([""] * 4)]
    differences = [row["loss_difference"], row["gradient_difference"]]
    return [
        row["method"],
        row["core"],
        result.pairs.text(3),
        "" if row["times"] is None else row["times"].text(),
        result.peak_bytes.text(2, GIB),
        *("" if value is None else f"{abs(value):.1e}" for value in differences),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a row is missing."""
    description = parser(__doc__)
    description.add_argument("--methods", default="ropo,lora-dpo", help="those with an adapter")
    chosen = parse(description, arguments)
    if no_gpu(chosen):
        return 0
    methods = ["ropo"] if chosen.quick else chosen.methods.split(",")
    with tempfile.TemporaryDirectory(prefix="ablation-") as name:
        sides = Sides(Path(name), chosen)
        workload = prepare(Path(name), chosen.data, shape_of(chosen.shape), chosen.steps * BATCH_SIZE)
        made = {method: jobs(method, sides) for method in methods}
        outcomes = take_turns([job for some in made.values() for job in some.values()], chosen.rounds, sides.run)
        found = [row for method in methods for row in rows(method, made[method], outcomes, sides.folder)]
    headers = ["method", "core", "pairs/s", "times", "peak GiB", "loss differs by", "gradient differs by"]
    text = "\n\n".join([about(chosen, workload), table(headers, [line(row) for row in found], 2)])
    emit(chosen, {"workload": workload, "rows": found}, text)
    return int(any(row["measured"] is None for row in found))


if __name__ == "__main__":
    exit_with(main)
