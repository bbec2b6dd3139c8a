"""Do intervals and tests hold at the edges? python -m benchmarks.edges [--tables 2000] [--json]

ends: accuracies near the end of their scale: coverage of the cell's interval, how many leave the scale, and how
often a claim exactly at its margin is decided either way (2.5 % each is promised).
skewed: a row that gains 1 on 30 % of prompts and loses 6 on 5 % of them, whose true mean is that of the other: how
often it is called better, and how often a sample holds no such loss at all, which no test of these numbers can know.
holes: a share of five seeds' values missing at random: coverage, and width over that of the full table.
lost: of one of two equal rows the worst prompts are lost more often: how often the rows are called different, by the
share of the row's prompts that is lost; below statistics.LEAST_COVERAGE rows are not compared.
Shapes: S seeds, C prompts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtri

from ropo_bench.claims.check import level_evidence
from ropo_bench.claims.rule import Region, decide
from ropo_bench.statistics.cells import level
from ropo_bench.statistics.comparisons import compare_samples, differences
from ropo_bench.statistics.difference import p_values
from ropo_bench.statistics.sample import Array, Sample

PERCENT = (0.0, 100.0)
ENDS = [(40, 0.97, 1), (100, 0.97, 1), (300, 0.99, 1), (80, 0.9, 1), (40, 0.97, 3), (40, 0.97, 5), (300, 0.99, 5)]
PROMPT_SD, REST_SD = 0.8, 0.6


def _sample(values_SC: Array, coverage: float = 1.0) -> Sample:
    made = Sample.linear([f"p{c:04}" for c in range(values_SC.shape[1])], values_SC)
    return Sample(made.clusters, made.estimates_S, made.values_SC, coverage=coverage)


def ends(num_items: int, share: float, num_seeds: int, num_tables: int) -> dict[str, Any]:
    """Items that are right or wrong, by a quality of prompt and rest."""
    draw = np.random.default_rng([num_items, int(1000 * share), num_seeds])
    cut, truth = float(ndtri(share)), 100 * share
    covered = outside = 0
    width, verdicts = 0.0, {"SUPPORTED": 0, "NOT SUPPORTED": 0}
    for _ in range(num_tables):
        quality_SC = PROMPT_SD * draw.normal(size=num_items) + REST_SD * draw.normal(size=(num_seeds, num_items))
        sample = _sample(100.0 * (quality_SC < cut))
        cell = level(sample, PERCENT)
        assert cell is not None
        low, high = cell.interval()
        covered += low <= truth <= high
        outside += low < 0 or high > 100
        width += high - low
        [decision] = decide([level_evidence(sample, PERCENT)], [Region(low=truth)])
        assert decision is not None
        if decision.verdict in verdicts:
            verdicts[decision.verdict] += 1
    shares = {name.lower().replace(" ", "_"): 100 * count / num_tables for name, count in verdicts.items()}
    return {
        "items": num_items, "share": share, "seeds": num_seeds, "coverage": 100 * covered / num_tables,
        "outside": 100 * outside / num_tables, "width": width / num_tables, **shares, "tables": num_tables,
    }  # fmt: skip


def skewed(num_prompts: int, num_tables: int) -> dict[str, Any]:
    """One seed; the truth is a tie."""
    draw = np.random.default_rng(num_prompts)
    nothing = _sample(np.zeros((1, num_prompts)))
    made, unseen = [], 0
    for _ in range(num_tables):
        chance = draw.random(num_prompts)
        gain = np.where(chance < 0.05, -6.0, np.where(chance < 0.35, 1.0, 0.0))
        unseen += not (gain < 0).any()
        made += differences({"a": _sample(gain[None]), "b": nothing}, [("a", "b")])
    small = p_values(made) < 0.05
    above = np.array([difference.estimate for difference in made]) > 0
    return {
        "prompts": num_prompts,
        "better": 100 * float((small & above).mean()),
        "worse": 100 * float((small & ~above).mean()),
        "no_loss_seen": 100 * unseen / num_tables,
        "tables": num_tables,
    }


def holes(share: float, num_tables: int, num_prompts: int = 80, num_seeds: int = 5) -> dict[str, Any]:
    """Values of prompt, seed and rest, standard deviations 2, 0.2 and 1."""
    draw = np.random.default_rng(int(100 * share))
    covered, ratio = 0, 0.0
    for _ in range(num_tables):
        values_SC = 2 * draw.normal(size=num_prompts) + draw.normal(size=(num_seeds, num_prompts))
        values_SC += 0.2 * draw.normal(size=(num_seeds, 1))
        whole = level(_sample(values_SC), None)
        values_SC[draw.random(values_SC.shape) < share] = np.nan
        left = level(_sample(values_SC), None)
        assert whole is not None
        assert left is not None
        low, high = left.interval()
        covered += low <= 0 <= high
        ratio += float(left.parts.half_width() / whole.parts.half_width())
    return {
        "missing": share,
        "coverage": 100 * covered / num_tables,
        "width": ratio / num_tables,
        "tables": num_tables,
    }


def lost(share: float, num_tables: int, num_prompts: int = 240) -> dict[str, Any]:
    """Two equal rows of one seed; of the first one's prompts below its median, twice this share is lost."""
    draw = np.random.default_rng(int(1000 * share))
    different = compared = 0
    for _ in range(num_tables):
        common_C = draw.normal(size=num_prompts)
        a_C, b_C = (common_C + 0.7 * draw.normal(size=num_prompts) for _ in range(2))
        gone_C = (a_C < np.median(a_C)) & (draw.random(num_prompts) < 2 * share)
        a = _sample(np.where(gone_C, np.nan, a_C)[None], 1 - float(gone_C.mean()))
        for comparison in compare_samples("t", "m", {"a": a, "b": _sample(b_C[None])}, [("a", "b")]):
            compared += 1
            different += comparison.p_value < 0.05
    return {
        "lost": share, "compared": 100 * compared / num_tables, "different": 100 * different / num_tables,
        "tables": num_tables,
    }  # fmt: skip


def simulate(num_tables: int) -> dict[str, list[dict[str, Any]]]:
    """All of them."""
    return {
        "ends": [ends(*case, num_tables) for case in ENDS],
        "skewed": [skewed(count, num_tables) for count in (40, 80, 160, 805)],
        "holes": [holes(share, num_tables) for share in (0.05, 0.2, 0.4)],
        "lost": [lost(share, num_tables) for share in (0.01, 0.02, 0.04, 0.1, 0.3)],
    }


def _told(row: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
    )


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = simulate(options.tables)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for part, rows in found.items():
        print("\n".join([part, *(f"  {_told(row)}" for row in rows)]))


if __name__ == "__main__":
    main()
