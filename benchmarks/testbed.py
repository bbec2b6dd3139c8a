"""Can the pocket testbed see? Three questions, answered on the real suite: python benchmarks/testbed.py [--json]

1. dpo beats SFT in pocket-arena by more than the suite's own minimum detectable effect.
2. dpo with 30 times its learning rate is significantly worse (Holm over grade, distinct-2, facts).
3. dpo against dpo with another seed is not significant (Holm over the same metrics and the arena).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ropo_bench.recipes.load import load_method, load_suite, load_task
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.task import Column
from ropo_bench.runs.items import read_scores
from ropo_bench.stages import merged, policy, scores
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.statistics.comparisons import compare
from ropo_bench.statistics.multiplicity import holm
from ropo_bench.statistics.power import minimum_detectable_effect
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress
from ropo_bench.types import Comparison, Score

METRICS = {"pocket-chat": "score", "diversity": "distinct_2", "pocket-commonsense": "accuracy"}
ARENA = ("pocket-arena", "win_rate")


class Testbed:
    """The pocket suite with the scores of any model on any metric."""

    def __init__(self, runs: Path, progress: Progress) -> None:
        self.suite = load_suite("pocket")
        self.bench = Bench(Store(runs), self.suite, progress)

    def train(self, method: MethodRecipe, seed: int) -> Model:
        """A trained and merged model."""
        return merged.make(self.bench, policy.make(self.bench, method, seed), method.name, seed)

    def scores(self, model: Model, task: str, metric: str) -> list[Score]:
        """Its scores of one metric."""
        found = read_scores(scores.make(self.bench, model, load_task(task), "model"))
        return [score for score in found if score.metric == metric]


def differences(bed: Testbed, a: Model, b: Model, metrics: dict[str, str]) -> list[dict[str, Any]]:
    """Paired differences a - b with Holm-adjusted p-values."""
    found: list[Comparison] = []
    for task, metric in metrics.items():
        rows = {name: [bed.scores(model, task, metric)] for name, model in (("a", a), ("b", b))}
        found += compare(task, [Column(metric=metric, header=metric)], rows, None, [("a", "b")])
    adjusted = holm([one.p_value for one in found])
    return [
        {"metric": f"{one.task}.{one.metric}", "estimate": one.estimate, "standard_error": one.standard_error}
        | {"degrees": one.degrees, "p_value": one.p_value, "n": one.n, "holm": p}
        for one, p in zip(found, adjusted, strict=True)
    ]


def answer(runs: Path) -> dict[str, Any]:
    """All three questions, with their numbers."""
    with Progress() as progress:
        bed = Testbed(runs, progress)
        dpo = load_method("dpo", suite=bed.suite)
        hot = dpo.model_copy(update={"train": dpo.train.model_copy(update={"lr": 30 * dpo.train.lr})})
        first, second, broken = bed.train(dpo, 0), bed.train(dpo, 1), bed.train(hot, 0)
        won = differences(bed, first, bed.bench.base, {ARENA[0]: ARENA[1]})[0]
        effect = minimum_detectable_effect(won["standard_error"], won["degrees"])
        harm = differences(bed, broken, first, METRICS)
        noise = differences(bed, first, second, {**METRICS, ARENA[0]: ARENA[1]})
    return {
        "lr": dpo.train.lr,
        "dpo_over_sft": {**won, "minimum_detectable_effect": effect, "holds": won["estimate"] > effect},
        "thirty_times_the_rate": {
            "differences": harm,
            "holds": any(d["holm"] < 0.05 and d["estimate"] < 0 for d in harm),
        },
        "another_seed": {"differences": noise, "holds": all(d["holm"] >= 0.05 for d in noise)},
    }


def markdown(found: dict[str, Any]) -> str:
    """The answers as a table."""
    lines = ["| question | metric | difference | SE | p (Holm) | holds |", "|---|---|---|---|---|---|"]
    won = found["dpo_over_sft"]
    lines.append(
        f"| dpo over SFT, more than {won['minimum_detectable_effect']:.1f} | {won['metric']} "
        f"| {won['estimate']:+.2f} | {won['standard_error']:.2f} | {won['holm']:.1g} | {won['holds']} |"
    )
    for name in ("thirty_times_the_rate", "another_seed"):
        lines += _rows(name, found[name]["differences"], found[name]["holds"])
    return "\n".join(lines)


def _rows(name: str, differences: Sequence[dict[str, Any]], holds: bool) -> list[str]:
    return [
        f"| {name.replace('_', ' ')} | {d['metric']} | {d['estimate']:+.2f} | {d['standard_error']:.2f} "
        f"| {d['holm']:.1g} | {holds} |"
        for d in differences
    ]


def main() -> None:
    """Print the answers; exit 1 if one of them is no."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = answer(options.runs)
    print(json.dumps(found, indent=1) if options.json else markdown(found))
    raise SystemExit(0 if all(part["holds"] for part in found.values() if isinstance(part, dict)) else 1)


if __name__ == "__main__":
    main()
