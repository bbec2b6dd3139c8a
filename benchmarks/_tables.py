"""Simulated tables: a quality of normal parts, graded by cuts, so that the truth is known in closed form.

Shapes: T tables, M methods, S seeds, C clusters, I items each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ropo_bench.statistics.crossed import LEVEL, Parts, prompt_parts
from ropo_bench.statistics.sample import Array

SEEDS, RATIOS = (1, 3, 5), (0.0, 0.5, 3.0)
ALPHA = 1 - LEVEL
_BATCH = 100


@dataclass(frozen=True)
class World:
    """A metric: cluster sizes, mean quality, standard deviations by source, and the cuts with what each adds."""

    name: str
    num_clusters: int
    num_items: int
    quality: float
    prompts: float
    items: float
    rest: float
    cuts: tuple[float, ...]
    steps: tuple[float, ...]
    base: float = 0.0
    seeds: float = 0.0
    scale: tuple[float, float] = (0.0, 100.0)

    def grades(self, quality: Array) -> Array:
        """Base, and a step for every cut that quality is above."""
        found = np.full(quality.shape, self.base)
        for cut, step in zip(self.cuts, self.steps, strict=True):
            found += step * (quality > cut)
        return found

    def truth(self, seed_effect: Array | None = None) -> Array:
        """Expected grade of the method, or of the checkpoint with this seed effect."""
        from scipy.special import ndtr

        own = self.prompts**2 + self.items**2 + self.rest**2
        centre = np.asarray(self.quality if seed_effect is None else self.quality + seed_effect)
        spread = (own + (self.seeds**2 if seed_effect is None else 0.0)) ** 0.5
        steps = [step * ndtr((centre - cut) / spread) for cut, step in zip(self.cuts, self.steps, strict=True)]
        found: Array = self.base + np.sum(steps, axis=0)
        return found

    def tables(
        self, draw: np.random.Generator, num_tables: int, num_seeds: int, methods: int = 1, unlike: float = 1.0
    ) -> tuple[Array, Array]:
        """Cluster means (M, T, S, C) and seed effects (M, T, S); methods share half of the prompts' variance.

        unlike: what the spread of the first method's seeds is multiplied by; its mean then moves a little.
        """
        shape = (num_tables, 1, self.num_clusters, 1)
        common = draw.normal(size=shape) * self.prompts * (0.0 if methods == 1 else 0.5**0.5)
        means, effects = [], []
        for method in range(methods):
            own = draw.normal(size=shape) * self.prompts * (1.0 if methods == 1 else 0.5**0.5)
            item = draw.normal(size=(*shape[:3], self.num_items)) * self.items
            effect_TS = draw.normal(size=(num_tables, num_seeds)) * self.seeds * (1.0 if method else unlike)
            size = (num_tables, num_seeds, self.num_clusters, self.num_items)
            rest = draw.normal(size=size) * self.rest
            quality = self.quality + common + own + item + effect_TS[:, :, None, None] + rest
            means.append(self.grades(quality).mean(axis=-1))
            effects.append(effect_TS)
        return np.array(means), np.array(effects)


TENTHS = tuple(float(cut) for cut in np.arange(1.5, 10))
WORLDS = (
    World("win rate, 240 prompts", 240, 1, 0.2, 1.0, 0.0, 1.2, (-0.15, 0.15), (50.0, 50.0)),
    World("MT-Bench mean, 80 x 2 turns", 80, 2, 7.5, 1.8, 1.0, 1.0, TENTHS, (1.0,) * 9, 1.0, scale=(1.0, 10.0)),
    World("accuracy, 300 questions", 300, 1, 1.0, 1.5, 0.0, 0.5, (0.0,), (100.0,)),
    World("accuracy, 200 texts x 5 questions", 200, 5, 1.0, 1.0, 1.0, 0.5, (0.0,), (100.0,)),
    World("accuracy, 60 texts x 5 questions", 60, 5, 1.0, 1.0, 1.0, 0.5, (0.0,), (100.0,)),
)


def with_ratio(world: World, num_seeds: int, ratio: float) -> World:
    """The world whose seeds bring `ratio` times the prompts' standard error, by bisection on a large pilot table."""
    if ratio == 0:
        return world
    pilot = replace(world, num_clusters=1500)
    low, high = 0.0, 10.0
    for _ in range(14):
        middle = replace(pilot, seeds=(low + high) / 2)
        values_MTSC, _ = middle.tables(np.random.default_rng(0), 1, 200)
        values_SC = values_MTSC[0, 0]
        means_S = values_SC.mean(axis=1)
        rest = ((values_SC - values_SC.mean(axis=0) - means_S[:, None] + values_SC.mean()) ** 2).mean()
        prompts = values_SC.mean(axis=0).var() - rest / len(values_SC)
        seeds = means_S.var() - rest / values_SC.shape[1]
        found = (seeds / num_seeds) / ((prompts + rest / num_seeds) / world.num_clusters)
        low, high = (middle.seeds, high) if found < ratio**2 else (low, middle.seeds)
    return replace(world, seeds=(low + high) / 2)


def parts_of(values_TSC: Array) -> Parts:
    """Parts of every table's mean, as `statistics.crossed.linear_parts` finds them one by one."""
    found = prompt_parts(values_TSC)
    num_seeds = values_TSC.shape[-2]
    if num_seeds == 1:
        return found
    seeds = values_TSC.mean(axis=-1).var(axis=-1, ddof=1) / num_seeds
    return replace(found, seeds=seeds, degrees_seeds=num_seeds - 1)


def batches(num_tables: int) -> Iterator[tuple[int, np.random.Generator]]:
    """Sizes of batches that fit in memory, each with a stream of its own."""
    for start in range(0, num_tables, _BATCH):
        yield min(_BATCH, num_tables - start), np.random.default_rng([17, start])
