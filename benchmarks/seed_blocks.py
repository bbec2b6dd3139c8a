"""Are seeds that methods share taken as what they are? python -m benchmarks.seed_blocks [--tables 500] [--json]

Tables of M methods with S seeds each beside an SFT model of one seed, on one column of 240 prompts. A seed does
something to all methods alike (share rho of what it does to one method) and something to each; ratio: the standard
error that seeds bring to a method's mean over the one that prompts and the rest bring. unlike: how many times the
first method's own seed effects spread as far as the others'; loading: how many times as far it answers to what a
seed does to all.

errors: all methods are the SFT model in truth. Share of tables (percent) with anything called different after Holm
over all pairs; the same where the comparisons with SFT are primary; and of single comparisons at 5 %.
power: one method is better by just the effect that `plan` promises to find in 80 % of tables.
families: only what all comparisons with SFT share, and how high its level may be (statistics.multiplicity).
Shapes: M methods, S seeds, C prompts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks._tables import ALPHA
from ropo_bench.statistics.comparisons import as_comparisons, differences
from ropo_bench.statistics.difference import p_values
from ropo_bench.statistics.multiplicity import SHARED, adjust, holm
from ropo_bench.statistics.power import planned_effect
from ropo_bench.statistics.sample import Array, Sample
from ropo_bench.types import Comparison

METHODS, SEEDS, RHOS = (2, 4, 8, 13), (3, 5), (0.0, 0.6, 0.9, 1.0)
PROMPTS, COMMON_PROMPTS, OWN_PROMPTS, REST = 240, 16.0, 15.0, 26.0
_MANY = 2000  # comparisons whose p-values are found together


@dataclass(frozen=True)
class World:
    """How a table is drawn (see above)."""

    methods: int
    seeds: int
    rho: float
    ratio: float
    unlike: float = 1.0
    loading: float = 1.0

    @property
    def seed_sd(self) -> float:
        """Standard deviation of all that a seed does to a method."""
        prompts = (COMMON_PROMPTS**2 + OWN_PROMPTS**2 + REST**2 / self.seeds) / PROMPTS
        return float(self.ratio * (prompts * self.seeds) ** 0.5)

    def rows(self, draw: np.random.Generator, effect: float = 0.0) -> dict[str, Sample]:
        """One table, the first method better than all others and SFT by the effect."""
        shape = (self.methods, self.seeds, PROMPTS)
        prompts_MC = COMMON_PROMPTS * draw.normal(size=PROMPTS) + OWN_PROMPTS * draw.normal(size=shape[::2])
        table_MSC = prompts_MC[:, None] + REST * draw.normal(size=shape)
        common_S = self.rho**0.5 * self.seed_sd * draw.normal(size=self.seeds)
        own_MS = (1 - self.rho) ** 0.5 * self.seed_sd * draw.normal(size=shape[:2])
        own_MS[0] *= self.unlike
        own_MS += common_S
        own_MS[0] += (self.loading - 1) * common_S
        table_MSC += own_MS[:, :, None]
        table_MSC[0] += effect
        names = [f"p{i:03}" for i in range(PROMPTS)]
        rows = {f"m{i}": Sample.linear(names, table_SC) for i, table_SC in enumerate(table_MSC)}
        return rows | {"SFT": Sample.linear(names, np.zeros((1, PROMPTS)))}

    def planned(self, alpha: float, against_fixed: bool = False, columns: float = 0.0) -> float:
        """The effect that `plan` promises, of two methods or of one beside the SFT model."""
        common, own = self.rho * self.seed_sd**2, (1 - self.rho) * self.seed_sd**2
        if against_fixed:
            prompts = (COMMON_PROMPTS**2 + OWN_PROMPTS**2) ** 0.5
            split = {"prompts": prompts, "rest": REST, "seeds": own**0.5, "common": common**0.5}
        else:
            split = {"prompts": 2**0.5 * OWN_PROMPTS, "rest": 2**0.5 * REST, "seeds": (2 * own) ** 0.5}
        return planned_effect(split, PROMPTS, self.seeds, alpha=alpha, num_methods=self.methods, columns=columns)


def _with_sft(comparison: Comparison) -> bool:
    return "SFT" in (comparison.a, comparison.b)


def errors(world: World, num_tables: int) -> dict[str, Any]:
    """Wrong verdicts where nothing differs."""
    draw = np.random.default_rng([world.methods, world.seeds, int(100 * world.rho), int(10 * world.ratio)])
    wrong = {"holm": 0, "primary": 0, "declared": 0}
    alone: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(num_tables):
        rows = world.rows(draw)
        made = as_comparisons("t", "m", differences(rows, list(combinations(rows, 2))))
        wrong["holm"] += min(holm([c.p_value for c in made])) <= ALPHA
        declared = adjust(made, _with_sft)
        wrong["declared"] += min(c.adjusted or 0.0 for c in declared) <= ALPHA
        wrong["primary"] += min(c.adjusted or 0.0 for c in declared if c.family == "primary") <= ALPHA
        for comparison in made:
            alone[_with_sft(comparison)].append(comparison.p_value <= ALPHA)
    shares = {name: 100 * count / num_tables for name, count in wrong.items()}
    shares |= {"two_methods": 100 * float(np.mean(alone[False])), "with_sft": 100 * float(np.mean(alone[True]))}
    return world.__dict__ | shares | {"tables": num_tables}


def power(world: World, num_tables: int) -> dict[str, Any]:
    """How often (percent) the promised effect is found: alone, at Holm's first level, and as a primary comparison."""
    pairs = world.methods * (world.methods + 1) // 2
    columns = world.methods / min(world.methods, SHARED)
    asked = {
        "two_methods": (ALPHA, False, 0.0),
        "two_methods_holm": (ALPHA / pairs, False, 0.0),
        "with_sft": (ALPHA, True, 0.0),
        "with_sft_primary": (ALPHA / world.methods, True, columns),
    }
    return (
        world.__dict__
        | {name: _power(world, *level, num_tables) for name, level in asked.items()}
        | {"tables": num_tables}
    )


def _power(world: World, alpha: float, against_fixed: bool, columns: float, num_tables: int) -> dict[str, float]:
    effect = world.planned(alpha, against_fixed, columns)
    draw = np.random.default_rng([world.methods, world.seeds, int(100 * world.rho), int(1e4 * alpha)])
    pair = ("m0", "SFT" if against_fixed else "m1")
    made = [differences(world.rows(draw, effect), [pair])[0] for _ in range(num_tables)]
    if columns:
        from ropo_bench.statistics.multiplicity import family_p_values

        p_values_T = family_p_values(as_comparisons("t", "m", made), world.methods, 1)
        level = ALPHA
    else:
        p_values_T, level = _p_values(made), alpha
    found = sum(p <= level and one.estimate > 0 for p, one in zip(p_values_T, made, strict=True))
    return {"effect": effect, "found": 100 * found / num_tables}


def _p_values(made: list[Any]) -> Array:
    return np.concatenate([p_values(made[start : start + _MANY]) for start in range(0, len(made), _MANY)])


def shared_level(methods: int, seeds: int, share: float, held: float, num_tables: int) -> float:
    """Families in error (percent) where the shared part is held at the column's level over `held`."""
    from scipy.special import stdtrit

    draw, degrees = np.random.default_rng([methods, seeds]), (methods - 1) * (seeds - 1)
    common_T1 = share**0.5 * draw.normal(size=(num_tables, 1))
    own_TM = (1 - share) ** 0.5 * draw.normal(size=(num_tables, methods))
    common_variance_T = share * draw.chisquare(seeds - 1, size=num_tables) / (seeds - 1)
    own_variance_T = (1 - share) * draw.chisquare(degrees, size=num_tables) / degrees
    squared_T = stdtrit(seeds - 1, 1 - ALPHA / min(held, methods) / 2) ** 2 * common_variance_T
    squared_T = squared_T + stdtrit(degrees, 1 - ALPHA / methods / 2) ** 2 * own_variance_T
    return 100 * float(((common_T1 + own_TM) ** 2 > squared_T[:, None]).any(axis=1).mean())


def worlds() -> Iterator[World]:
    """Seeds that matter as much as prompts, of methods that are alike, and of a first one that is not."""
    for methods in METHODS:
        for seeds in SEEDS:
            yield from (World(methods, seeds, rho, 1.0) for rho in RHOS)
            yield World(methods, seeds, 0.6, 3.0)
            if methods > 2:
                yield World(methods, seeds, 0.6, 3.0, unlike=3.0)
                yield World(methods, seeds, 0.6, 3.0, loading=3.0)


def simulate(num_tables: int) -> dict[str, Any]:
    """All three questions; tables of 13 methods, with 91 pairs each, are a quarter as many."""
    counts = {13: max(1, num_tables // 4)}
    grid = [(m, s, share) for m in (2, 4, 13, 30) for s in (3, 5, 10) for share in (0.0, 0.35, 0.65, 0.9, 1.0)]
    return {
        "errors": [errors(world, counts.get(world.methods, num_tables)) for world in worlds()],
        "power": [
            power(World(m, s, rho, 1.0), num_tables) for m in METHODS for s in SEEDS for rho in RHOS
        ],
        "families": [
            {
                "methods": m, "seeds": s, "share": share,
                "at_third": shared_level(m, s, share, SHARED, 200 * num_tables),
                "at_whole": shared_level(m, s, share, 1.0, 200 * num_tables),
            }
            for m, s, share in grid
        ],
    }  # fmt: skip


def _told(row: Mapping[str, Any]) -> str:
    parts = []
    for key, value in row.items():
        if isinstance(value, Mapping):
            parts.append(f"{key} {value['effect']:.1f} found {value['found']:.1f} %")
        else:
            parts.append(f"{key} {value:.1f}" if isinstance(value, float) else f"{key} {value}")
    return ", ".join(parts)


def main() -> None:
    """Print a line a world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = simulate(options.tables)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for part, rows in found.items():
        print(part)
        print("\n".join(f"  {_told(row)}" for row in rows))


if __name__ == "__main__":
    main()
