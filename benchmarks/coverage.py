"""Do intervals cover and powers of two rows reach as promised? python -m benchmarks.coverage [--tables 2000] [--json]

Simulated tables of four metrics: an answer's quality is prompt + turn or question + seed + rest, all normal, and a
grade is where quality falls between cuts, so that the truth is known in closed form. ratio: the standard error of the
mean that seeds bring, over the one that prompts bring (with the rest) at the same number of seeds. With one seed the
truth is that checkpoint's expectation, with more the method's. Shapes: T tables, S seeds, C clusters, I items each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks._tables import (
    ALPHA,
    RATIOS,
    SEEDS,
    WORLDS,
    World,
    batches,
    parts_of,
    with_ratio,
)
from ropo_bench.statistics.cells import level
from ropo_bench.statistics.permutation import sign_flips
from ropo_bench.statistics.power import planned_effect, planned_error
from ropo_bench.statistics.sample import Sample


def coverage(world: World, num_seeds: int, ratio: float, num_tables: int) -> dict[str, Any]:
    """How often the 95 % interval of a cell holds the truth (percent), and its width over that of a known error."""
    world = with_ratio(world, num_seeds, ratio)
    names = [f"p{c:04}" for c in range(world.num_clusters)]
    errors, ends, truths = [], [], []
    for size, draw in batches(num_tables):
        values_MTSC, effects_MTS = world.tables(draw, size, num_seeds)
        truth_T = np.broadcast_to(world.truth(effects_MTS[0, :, 0]) if num_seeds == 1 else world.truth(), size)
        for values_SC, truth in zip(values_MTSC[0], truth_T, strict=True):
            cell = level(Sample.linear(names, values_SC), world.scale)
            assert cell is not None
            ends.append(cell.interval())
            errors.append(cell.estimate - truth)
            truths.append(truth)
    low_T, high_T = np.array(ends).T
    truth_T = np.array(truths)
    return {
        "metric": world.name,
        "seeds": num_seeds,
        "ratio": ratio,
        "coverage": 100 * float(((low_T <= truth_T) & (truth_T <= high_T)).mean()),
        "below": 100 * float((low_T > truth_T).mean()),
        "above": 100 * float((high_T < truth_T).mean()),
        "width": float((high_T - low_T).mean()),
        "ideal_width": 2 * 1.96 * float(np.std(errors)),
        "tables": num_tables,
    }


def power(num_seeds: int, ratio: float, alpha: float, num_tables: int, num_prompts: int = 240) -> dict[str, Any]:
    """How often (percent) a difference of exactly the minimum detectable effect, planned from its split, is found."""
    split = {"prompts": 30.0, "rest": 35.0}
    prompts = 30.0**2 / num_prompts + 35.0**2 / num_prompts / num_seeds
    split["seeds"] = ratio * (prompts * num_seeds) ** 0.5
    error, degrees = planned_error(split, num_prompts, num_seeds)
    effect = planned_effect(split, num_prompts, num_seeds, alpha=alpha)
    found = 0
    for size, draw in batches(num_tables):
        difference_TSC = effect + split["prompts"] * draw.normal(size=(size, 1, num_prompts))
        difference_TSC = difference_TSC + split["rest"] * draw.normal(size=(size, num_seeds, num_prompts))
        if num_seeds > 1:
            difference_TSC += split["seeds"] * draw.normal(size=(size, num_seeds, 1))
            p_T = parts_of(difference_TSC).p_value(difference_TSC.mean(axis=(1, 2)))
        else:
            p_T = sign_flips(difference_TSC[:, 0])
        found += int(((p_T <= alpha) & (difference_TSC.mean(axis=(1, 2)) > 0)).sum())
    return {
        "seeds": num_seeds,
        "ratio": ratio,
        "alpha": alpha,
        "prompts": num_prompts,
        "standard_error": error,
        "degrees": degrees,
        "effect": effect,
        "power": 100 * found / num_tables,
        "tables": num_tables,
    }


def simulate(num_tables: int) -> dict[str, Any]:
    """Both questions."""
    began = time.process_time()
    grid = [(s, r) for s in SEEDS for r in RATIOS]
    without_seeds = [(s, r) for s, r in grid if s > 1 or r == 0]
    return {
        "coverage": [coverage(world, s, r, num_tables) for world in WORLDS for s, r in grid],
        "power": [power(s, r, alpha, num_tables) for alpha in (ALPHA, ALPHA / 18) for s, r in without_seeds],
        "cpu_seconds": time.process_time() - began,
        "worlds": [asdict(world) for world in WORLDS],
    }


def markdown(found: Mapping[str, Any]) -> str:
    """The answers as tables."""
    columns: dict[str, Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
        "coverage": {
            "metric": lambda one: one["metric"],
            "seeds": lambda one: str(one["seeds"]),
            "ratio": lambda one: f"{one['ratio']:g}",
            "coverage %": lambda one: f"{one['coverage']:.1f}",
            "truth below / above %": lambda one: f"{one['below']:.1f} / {one['above']:.1f}",
            "mean width": lambda one: f"{one['width']:.2f}",
            "width / known error's": lambda one: f"{one['width'] / one['ideal_width']:.2f}",
        },
        "power": {
            "seeds": lambda one: str(one["seeds"]),
            "ratio": lambda one: f"{one['ratio']:g}",
            "level": lambda one: f"{one['alpha']:.2g}",
            "planned error": lambda one: f"{one['standard_error']:.2f}",
            "degrees": lambda one: f"{one['degrees']:.1f}",
            "effect": lambda one: f"{one['effect']:.2f}",
            "found %": lambda one: f"{one['power']:.1f}",
        },
    }
    blocks = [_table(found[name], texts) for name, texts in columns.items()]
    tables = found["power"][0]["tables"]
    counts = f"{tables:,} tables a line"
    return "\n\n".join([*blocks, f"{counts}, {found['cpu_seconds']:.0f} CPU seconds in all"])


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Callable[[Mapping[str, Any]], str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(text(row) for text in columns.values()) + " |" for row in rows])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = simulate(options.tables)
    print(json.dumps(found, indent=1) if options.json else markdown(found))


if __name__ == "__main__":
    main()
