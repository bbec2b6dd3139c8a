"""How often do canaries pass a biased judge? python -m benchmarks.canaries [--judges 2000] [--json]

Judges whose every verdict is a win or a loss drawn on its own, with a bias of stated size, are put before the
product's own canaries, at its number of items and at 20. 80 % is what the number of items was chosen for.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass

import numpy as np

from ropo_bench.judging.canaries import Item, Question, judge_canaries
from ropo_bench.judging.canary_power import FOUND, MOST, TOLERANCES, Kind, detectable, num_items
from ropo_bench.types import Prompt

ITEMS: list[Item] = [(Prompt(f"p{i}", ("Which is larger?",)), f"It is {i}. That is larger.") for i in range(200)]
FEW = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A kind of canary on n items: a judge's bias in points, and how often it fails and passes in percent.

    detectable: what the canary says it could have seen.
    """

    kind: Kind
    items: int
    bias: float
    tolerance: float
    detectable: float | None
    failed: float
    passed: float
    monte_carlo: float


def chance(kind: Kind, bias: float) -> float:
    """Of the canary's own answer (constant, longer copy), or of what is shown first, to win."""
    return {"constant": bias / 100, "swap": 0.5 + bias / 200}.get(kind, 0.5 + bias / 100)


def simulate(kind: Kind, bias: float, n: int, judges: int) -> Line:
    """Many judges of one bias on the first n items."""
    draw = np.random.default_rng([5, n, int(10 * bias)])
    wins = chance(kind, bias)

    def prefer(question: Question) -> float:
        if question.kind != kind:
            return 0.5
        won = draw.random() < wins
        return float(won if kind in ("swap", "identical") or question.order == "ab" else not won)

    failed = 0
    for _ in range(judges):
        [result] = [result for result in judge_canaries(ITEMS[:n], prefer) if result.kind == kind]
        failed += result.passed is False
    share = failed / judges
    error = 1.96 * (share * (1 - share) / judges) ** 0.5
    return Line(kind, n, bias, TOLERANCES[kind], detectable(kind, n), 100 * share, 100 - 100 * share, 100 * error)


def main() -> None:
    """Print a line for each kind, bias and number of items."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judges", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    lines = [
        simulate(kind, bias, n, options.judges)
        for kind, tolerance in TOLERANCES.items()
        for n in sorted({FEW, num_items(kind)})
        for bias in (tolerance, FOUND[kind], min(MOST[kind], 1.4 * FOUND[kind]))
    ]
    if options.json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
        return
    print("| canary | items | bias | tolerance | could see | fails % | passes % |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for line in lines:
        print(
            f"| {line.kind} | {line.items} | {line.bias:g} | {line.tolerance:g} | {line.detectable:g}"
            f" | {line.failed:.1f} ± {line.monte_carlo:.1f} | {line.passed:.1f} |"
        )


if __name__ == "__main__":
    main()
