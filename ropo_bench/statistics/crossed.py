"""The uncertainty of a mean over seeds crossed with prompts, y_sc = mu + seed_s + prompt_c + rest_sc, all random.

Var(mean) = prompt/C + seed/S + rest/(SC) is estimated by A + B - D, where A = var_c(mean over s)/C,
B = var_s(mean over c)/S and D = var(rest)/(SC): each is a mean square with degrees of its own. With few seeds the
estimate itself is rough, and Satterthwaite's degrees, which trust it, cover 90 to 93 % at three seeds. So every part
is taken at its own t quantile: half width^2 = t_A^2 A + t_B^2 B - t_D^2 D, Banerjee's interval for sums of variances
(Sankhya 1960, 22:359; never too short for A + B) with the rest, which A and B both hold, taken out once. Coverage is
simulated in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ropo_bench.statistics import incomplete
from ropo_bench.statistics.sample import Array, Sample, strata_indices

LEVEL = 0.95
_HALVINGS = 50


@dataclass(frozen=True)
class Parts:
    """Estimated variances of an estimate: A (prompts), B (seeds), D (what both hold), each with its degrees.

    common: of B, what a seed does to every method alike, where that is known by itself (statistics.blocks): a
    variance with degrees of its own, beside B. Numbers or arrays of one shape. degrees_* of 0: there is no such part
    (one seed has A alone, a census B alone).
    """

    prompts: Array | float
    seeds: Array | float = 0.0
    rest: Array | float = 0.0
    degrees_prompts: Array | float = 0.0
    degrees_seeds: Array | float = 0.0
    degrees_rest: Array | float = 0.0
    common: Array | float = 0.0
    degrees_common: Array | float = 0.0

    @property
    def variance(self) -> Array:
        """Variance of the mean, A + B - D; at least D, which every estimate has."""
        whole: Array = np.asarray(self.prompts) + self.seeds + self.common - self.rest
        variance: Array = np.maximum(whole, self.rest)
        return variance

    @property
    def standard_error(self) -> Array:
        """Standard error of the mean."""
        error: Array = np.sqrt(self.variance)
        return error

    def half_width(self, alpha: Array | float = 1 - LEVEL, alpha_common: Array | float | None = None) -> Array:
        """Half the width of the interval of level 1 - alpha. alpha_common: of the common part, if not alpha."""
        a, b, d = (
            _squared_quantile(alpha, degrees)
            for degrees in (self.degrees_prompts, self.degrees_seeds, self.degrees_rest)
        )
        c = _squared_quantile(alpha if alpha_common is None else alpha_common, self.degrees_common)
        # a, b, c and d are 0 where there is no such part. Never beyond what the fewest degrees would give.
        squared = np.maximum(a * self.prompts + b * self.seeds + c * self.common - d * self.rest, d * self.rest)
        width: Array = np.sqrt(np.minimum(squared, np.maximum(np.maximum(a, b), c) * self.variance))
        return width

    def degrees(self) -> Array:
        """Degrees of the t distribution that gives the same 95 % interval around the same standard error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            target = np.where(self.variance > 0, self.half_width() / self.standard_error, np.nan)
        counts = (self.degrees_prompts, self.degrees_seeds, self.degrees_rest, self.degrees_common, target)
        parts = np.array(np.broadcast_arrays(*counts)[:4])
        high = np.log(parts.max(axis=0))
        low = np.log(np.where(parts > 0, parts, np.inf).min(axis=0))
        fewest = np.exp(low)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            wide = np.sqrt(_squared_quantile(1 - LEVEL, np.exp(middle))) > target
            low, high = np.where(wide, middle, low), np.where(wide, high, middle)
        return np.round(np.where(np.isnan(target), fewest, np.exp((low + high) / 2)), 9)

    def p_value(self, estimate: Array | float, comparisons: float = 1, columns: float = 1) -> Array:
        """Two-sided, of "the true value is 0": the alpha whose interval ends there.

        comparisons, columns: of a family that it is tested in. All comparisons of a column with one reference share
        the common part, so it is taken at alpha / columns, all else at alpha / comparisons (statistics.multiplicity).
        """
        size = np.abs(estimate)
        low, high = np.broadcast_arrays(np.full_like(size, -700.0), np.zeros_like(self.variance + size))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            alpha = np.exp(middle)
            inside = self.half_width(alpha / comparisons, alpha / columns) >= size
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return np.where(size == 0, 1.0, np.where(self.variance == 0, 0.0, np.exp((low + high) / 2)))


def _squared_quantile(alpha: Array | float, degrees: Array | float) -> Array:
    """Square of the two-sided t quantile; 0 for no degrees."""
    from scipy.special import stdtrit

    degrees = np.asarray(degrees, dtype=float)
    quantile = np.minimum(np.abs(stdtrit(np.where(degrees > 0, degrees, 1.0), np.asarray(alpha) / 2)), 1e150)
    return np.where(degrees > 0, quantile**2, 0.0)


def stack(parts: Sequence[Parts]) -> Parts:
    """Several Parts as one whose fields are arrays (N,): computing on it is far faster than one by one."""
    names = [field.name for field in fields(Parts)]
    return Parts(**{name: np.array([float(getattr(part, name)) for part in parts]) for name in names})


def combine(parts: Sequence[Parts], weights: Sequence[float]) -> Parts:
    """A and D of a weighted sum of estimates over prompts that are independent, degrees by Satterthwaite (1946)."""
    combined: dict[str, float] = {}
    for name in ("prompts", "rest"):
        variances = [w**2 * float(getattr(part, name)) for part, w in zip(parts, weights, strict=True)]
        combined[name] = sum(variances)
        degrees = [float(getattr(part, f"degrees_{name}")) for part in parts]
        combined[f"degrees_{name}"] = satterthwaite(variances, degrees)
    return Parts(**combined)


def satterthwaite(variances: Sequence[float], degrees: Sequence[float]) -> float:
    """Degrees of a sum of variances (Biometrics 1946, 2:110); the fewest that there are where all are zero."""
    largest = max(variances)
    if not largest > 0:
        return min((f for f in degrees if f > 0), default=0.0)
    shares = [variance / largest for variance in variances]  # their squares have a number, however large they are
    spread = sum(share**2 / f for share, f in zip(shares, degrees, strict=True) if f > 0)
    return sum(shares) ** 2 / spread if spread > 0 else 0.0


def linear_parts(values_SC: Array, strata: Sequence[str] | None = None) -> Parts:
    """Parts of the mean over seeds of each seed's mean (of its strata's means); two clusters a stratum at least.

    The seeds' part is of all strata together: a seed shifts them as it likes. NaN where a seed has no value: its mean
    is over what it has.
    """
    indices: Sequence[NDArray[np.intp] | slice] = [slice(None)] if strata is None else strata_indices(strata)
    groups = [values_SC[:, index] for index in indices]
    combined = combine([prompt_parts(group) for group in groups], [1 / len(groups)] * len(groups))
    if len(values_SC) < 2:
        return combined
    seeds, degrees = seed_part(np.mean([seed_means(group) for group in groups], axis=0))
    return replace(combined, seeds=seeds, degrees_seeds=degrees)


def seed_means(values_SC: Array) -> Array:
    """Each seed's mean (S,), up to a constant; where values are missing, with the prompts taken out."""
    return incomplete.seed_effects(values_SC) if np.isnan(values_SC).any() else values_SC.mean(axis=1)


def prompt_parts(values_SC: Array) -> Parts:
    """A and D of one table (..., S, C), leading axes kept; NaN (without leading axes) where a value is missing."""
    if np.isnan(values_SC).any():
        return Parts(*incomplete.prompt_part(values_SC))
    num_seeds, num_clusters = values_SC.shape[-2:]
    mean_C = values_SC.mean(axis=-2)
    prompts = mean_C.var(axis=-1, ddof=1) / num_clusters
    if num_seeds < 2:
        return Parts(prompts, degrees_prompts=num_clusters - 1)
    rest_SC = values_SC - mean_C[..., None, :] - values_SC.mean(axis=-1, keepdims=True)
    rest_SC = rest_SC + values_SC.mean(axis=(-2, -1), keepdims=True)
    degrees = (num_seeds - 1) * (num_clusters - 1)
    rest = (rest_SC**2).sum(axis=(-2, -1)) / degrees / (num_seeds * num_clusters)
    return Parts(prompts, 0.0, rest, num_clusters - 1, 0.0, degrees)


def seed_part(estimates_S: Array) -> tuple[float, int]:
    """B, and its degrees, of the mean over seeds of their estimates."""
    num_seeds = len(estimates_S)
    return float(estimates_S.var(ddof=1)) / num_seeds, num_seeds - 1


def bootstrap_parts(estimates_S: Array, drawn_RS: Array, num_clusters: int) -> Parts:
    """The same parts where each seed's estimate is no mean, from bootstrap replicates over C clusters.

    A is the variance of the replicates' mean over seeds, D that of their deviations from it; both times C/(C - 1),
    by which a bootstrap variance of a mean falls short. All seeds see the same draws.
    """
    num_replicates, num_seeds = drawn_RS.shape
    scale = num_clusters / (num_clusters - 1)
    mean_R = drawn_RS.mean(axis=1)
    degrees = 1 / (1 / (num_clusters - 1) + 1 / (num_replicates - 1))
    prompts = scale * float(mean_R.var(ddof=1))
    if num_seeds < 2:
        return Parts(prompts, degrees_prompts=degrees)
    rest = scale * float((drawn_RS - mean_R[:, None]).var(axis=0, ddof=1).sum()) / (num_seeds - 1) / num_seeds
    seeds, degrees_seeds = seed_part(estimates_S)
    return Parts(prompts, seeds, rest, degrees, degrees_seeds, (num_seeds - 1) * degrees)


def sample_parts(sample: Sample) -> Parts | None:
    """Parts of a sample's mean over seeds; None where there is no error to give.

    None: one seed of a census, or a seed with fewer than two clusters (in a stratum).
    """
    num_seeds = len(sample.estimates_S)
    if sample.values_SC is not None:
        return linear_parts(sample.values_SC, sample.strata) if enough(sample.values_SC, sample.strata) else None
    if sample.evaluate is not None or sample.drawn_RS is not None:
        if len(sample.clusters) < 2:
            return None
        return bootstrap_parts(sample.estimates_S, sample.draws(sample.clusters), len(sample.clusters))
    if num_seeds < 2:
        return None
    seeds, degrees = seed_part(sample.estimates_S)
    return Parts(0.0, seeds, 0.0, 0.0, degrees)


def enough(values_SC: Array, strata: Sequence[str] | None) -> bool:
    """Whether every seed has two clusters (in every stratum), and a cluster has two seeds where there are two."""
    known_SC = ~np.isnan(values_SC)
    if values_SC.shape[1] < 2 or (len(values_SC) > 1 and not (known_SC.sum(axis=0) > 1).any()):
        return False
    groups = [known_SC] if strata is None else [known_SC[:, index] for index in strata_indices(strata)]
    return all(bool((group.sum(axis=1) >= 2).all()) for group in groups)
