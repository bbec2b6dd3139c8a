"""How often does a claims file hold a wrong verdict? python -m benchmarks.claims_errors [--files 2000] [--json]

Files of K claims, each exactly at its margin (where both a verdict for and one against are wrong), of pairs of rows
with S seeds on C prompts; ratio: the seeds' standard error over the prompts', SHARED of its variance common to all
rows. Through the comparison and the rule of ropo_bench.claims. The promise: SUPPORTED in at most 2.5 % of the files,
NOT SUPPORTED in at most 2.5 %.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import numpy as np

from ropo_bench.claims.check import difference_evidence
from ropo_bench.claims.rule import Region, decide
from ropo_bench.statistics.sample import Sample

PROMPTS = 60
MARGINS = (0.0, 2.0, -1.0, 0.5, -3.0, 0.0)
SHARED = 0.6
CASES = [(1, 0.0), (3, 0.0), (3, 0.5), (3, 3.0), (5, 0.0), (5, 0.5), (5, 3.0)]


def shares(num_seeds: int, ratio: float, num_claims: int, num_files: int) -> tuple[float, float]:
    """Shares of files with a claim SUPPORTED, and with one NOT SUPPORTED."""
    draw = np.random.default_rng((num_seeds, int(10 * ratio), num_claims))
    margins = MARGINS[:num_claims]
    found = np.zeros(2)
    for _ in range(num_files):
        evidence, common_S1 = [], draw.normal(size=(num_seeds, 1))
        for margin in margins:
            common_C = draw.normal(size=PROMPTS)
            a, b = (_row(draw, truth + common_C, common_S1, ratio) for truth in (margin, 0.0))
            evidence.append(difference_evidence({"a": a, "b": b}, "a", "b")[0])
        decided = decide(evidence, [Region(low=margin) for margin in margins])
        verdicts = {one.verdict for one in decided if one is not None}
        found += ["SUPPORTED" in verdicts, "NOT SUPPORTED" in verdicts]
    return float(found[0] / num_files), float(found[1] / num_files)


def _row(draw: np.random.Generator, truth_C: np.ndarray, common_S1: np.ndarray, ratio: float) -> Sample:
    own_S1 = draw.normal(size=common_S1.shape)
    seeds_S1 = ratio / PROMPTS**0.5 * (SHARED**0.5 * common_S1 + (1 - SHARED) ** 0.5 * own_S1)
    values_SC = truth_C + seeds_S1 + draw.normal(size=(len(common_S1), PROMPTS))
    return Sample.linear([f"p{i:02}" for i in range(PROMPTS)], values_SC)


def _table(num_files: int) -> Iterator[dict[str, float]]:
    for num_seeds, ratio in CASES:
        for num_claims in (1, 6):
            supported, refuted = shares(num_seeds, ratio, num_claims, num_files)
            yield {
                "seeds": num_seeds, "ratio": ratio, "claims": num_claims, "files": num_files,
                "supported": supported, "not_supported": refuted,
            }  # fmt: skip


def main() -> None:
    """Print one line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if not given.json:
        print("seeds  ratio  claims  SUPPORTED %  NOT SUPPORTED %")
    for row in _table(given.files):
        if given.json:
            print(json.dumps(row))
            continue
        rates = f"{100 * row['supported']:>11.1f}  {100 * row['not_supported']:>15.1f}"
        print(f"{row['seeds']:>5}  {row['ratio']:>5}  {row['claims']:>6}  {rates}", flush=True)


if __name__ == "__main__":
    main()
