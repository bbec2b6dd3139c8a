"""Worlds of nights for `benchmarks.gate`: what seeds, nights and their distributions may do to unchanged code.

A seed's value in a cell is  centre + sd (sqrt(r) a + sqrt(1 - r) e) + night:  a is the seed's own effect, the same
every night that it is used; e is drawn afresh every night; r is the recurring share. All methods see the same data
order and initialisation, so the effects of one seed correlate between rows (METHODS) and columns (COLUMNS).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ropo_bench.gate.night import Cell, Column, Night, Row

METHODS = 0.6  # correlation of the methods' values of one seed; 0.58 and 0.66 in the committed reference run
COLUMNS = 0.5  # of the columns of one row


class Metric(NamedTuple):
    """A column: its usual value, decimals shown, items a seed, standard deviation of one seed's value."""

    centre: float
    decimals: int
    items: int
    sd: float


METRICS = {
    "chat.score": Metric(6.5, 2, 160, 0.08),
    "arena.win_rate": Metric(60.0, 1, 200, 1.5),
    "facts.accuracy": Metric(82.0, 1, 500, 1.0),
    "diversity.distinct_2": Metric(55.0, 1, 60, 0.8),
}


@dataclass(frozen=True)
class Setting:
    """A world.

    recurring: share of a seed's variance that is the same every night. repeats: of the first night (of the fixed
    baseline). noise: of one seed, as a multiple of its metric's. shape: of all draws: normal, tails (t, 5 degrees) or
    skewed (one minus an exponential: some seeds fail badly). nightly: what nights differ by beyond their seeds (a
    hosted judge), as a multiple of what the seeds do to a night; a re-run of the same night shares it. slow: share of
    the fresh variance that wanders from night to night with its seed. ar: lag-1 autocorrelation of nightly and slow.
    """

    baseline: str
    seeds: int
    recurring: float = 0.0
    repeats: int = 0
    methods: int = 4
    columns: int = 4
    noise: float = 1.0
    shape: str = "normal"
    nightly: float = 0.0
    slow: float = 0.0
    ar: float = 0.0
    methods_correlation: float = METHODS


class World:
    """Draws nights of one setting; losses: what cells have lost, in units of their column."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self.setting = setting
        self.draw = np.random.default_rng(seed)
        self.rows = [f"method-{i}" for i in range(setting.methods)]
        self.columns = list(METRICS)[: setting.columns]
        self._own: dict[int, np.ndarray[Any, Any]] = {}
        self._slow: dict[int, np.ndarray[Any, Any]] = {}
        self._shift = self._normal(1)[0]
        self._count = 0

    def night(self, number: int, losses: Mapping[tuple[str, str], float], repeats: int = 0) -> Night:
        """The next night, with seeds 0, 1, 2 ... and so many repeats."""
        ar = self.setting.ar
        self._shift = ar * self._shift + math.sqrt(1 - ar**2) * self._normal(1)[0]
        for seed, slow in self._slow.items():
            self._slow[seed] = ar * slow + math.sqrt(1 - ar**2) * self._normal(1)[0]
        columns = {name: Column(METRICS[name].decimals, "higher", True) for name in self.columns}
        found = [self.rows_of(block, losses) for block in range(repeats + 1)]
        return Night(f"{number:05d}", "sim", "sim", columns, found[0], repeats=found[1:])

    def rows_of(self, block: int, losses: Mapping[tuple[str, str], float]) -> dict[str, Row]:
        """Tonight measured with a block of seeds; 0 is the night's own."""
        setting = self.setting
        num = setting.seeds
        seeds = range(block * num, (block + 1) * num)
        shift = setting.nightly / math.sqrt(num) * self._shift
        values_SRC = self._seeds(seeds) + shift
        for place, name in enumerate(self.columns):
            values_SRC[:, :, place] = self._measured(name, values_SRC[:, :, place])
        means_RC = values_SRC.mean(axis=0)
        spreads_RC = values_SRC.std(axis=0, ddof=1) if num > 1 else None
        found = {}
        for i, row in enumerate(self.rows):
            cells = {}
            for j, name in enumerate(self.columns):
                self._count += 1
                spread = None if spreads_RC is None else float(spreads_RC[i, j])
                mean = float(means_RC[i, j]) - losses.get((row, name), 0.0)
                cells[name] = Cell(mean, num, METRICS[name].items, str(self._count), None, spread)
            found[row] = Row("done", cells, seeds=tuple(seeds))
        return found

    def _seeds(self, seeds: range) -> np.ndarray[Any, Any]:
        setting = self.setting
        for seed in seeds:
            if setting.recurring and seed not in self._own:
                self._own[seed] = self._shaped(self._normal(1)[0])
            if setting.slow and seed not in self._slow:
                self._slow[seed] = self._normal(1)[0]
        fresh = self._normal(len(seeds))
        if setting.slow:
            slow = np.stack([self._slow[seed] for seed in seeds])
            fresh = math.sqrt(setting.slow) * slow + math.sqrt(1 - setting.slow) * fresh
        values = math.sqrt(1 - setting.recurring) * self._shaped(fresh)
        if setting.recurring:
            values = values + math.sqrt(setting.recurring) * np.stack([self._own[seed] for seed in seeds])
        return values

    def _normal(self, num: int) -> np.ndarray[Any, Any]:
        """Unit normal draws [seeds, rows, columns], correlated between rows and between columns."""
        rows, columns = len(self.rows), len(self.columns)
        total: Any = 0.0
        for shared, size in ((self.setting.methods_correlation, 1), (1 - self.setting.methods_correlation, rows)):
            for part, width in ((COLUMNS, 1), (1 - COLUMNS, columns)):
                total = total + math.sqrt(shared * part) * self.draw.standard_normal((num, size, width))
        return np.asarray(np.broadcast_to(total, (num, rows, columns)))

    def _shaped(self, normal: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Of mean 0 and variance 1, in the setting's shape."""
        from scipy.special import log_ndtr, ndtr, stdtrit

        match self.setting.shape:
            case "tails":
                return np.asarray(stdtrit(5, ndtr(normal)) * math.sqrt(3 / 5))
            case "skewed":
                return np.asarray(1 + log_ndtr(normal))
            case _:
                return normal

    def _measured(self, column: str, deviations: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """In the column's unit; shares of items lie on their grid."""
        metric = METRICS[column]
        values = metric.centre + self.setting.noise * metric.sd * deviations
        if column.endswith("accuracy"):
            return np.asarray(np.round(values * metric.items / 100) * 100 / metric.items)
        return np.asarray(values)
