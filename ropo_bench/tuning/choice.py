"""Which rate a curve chooses, and what choosing is worth.

The best of several noisy values is too good on average, so the value of a chosen rate is corrected by data that had
no part in choosing it. First the peak is found by one seed; what that seed's luck did, the other seeds do not share.
Then every bootstrap draw of the prompts chooses anew among the rates near the peak, and its choice is measured on the
prompts that the draw left out (the leave-out bootstrap of Efron, JASA 1983, 78:316), by the other seeds. The mean
over draws is the corrected value; where all rates are equal it is unbiased (tests/tuning/test_choice.py).
Shapes: K rates, S seeds, P prompts, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropo_bench.statistics.sample import Array
from ropo_bench.tuning.grid import is_near

DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Curve:
    """Scores of a method against its learning rate.

    rates: ascending. on_grid: whether a rate is a point of the grid, or of its refinement. values: (S, P) of each
    rate, higher is better, NaN where nothing was scored; all rates have the first seed, those near the peak others
    too. None where a trial failed: such a rate is never chosen.
    """

    rates: Sequence[float]
    on_grid: Sequence[bool]
    values: Sequence[Array | None]


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen rate's place and value, its value corrected for having been chosen, and what else might have been.

    corrected: None where no draw can be measured (one seed, or too few prompts to leave one out). shares: by rate, of
    the draws that chose it when peak and choice were both made again.
    """

    index: int
    value: float
    corrected: float | None
    shares: Sequence[float]


def peak_of(curve: Curve) -> int | None:
    """The place of the best grid point by its first seed, the lowest of equal ones; None where all failed."""
    first_K, _ = _means(curve, None)
    return None if np.isneginf(first_K).all() else int(first_K[0].argmax())


def choose(curve: Curve, draws: int = DRAWS, seed: int = 0) -> Choice | None:
    """The choice of a curve and its correction; None where every trial failed.

    The rule: the best grid point by its first seed is the peak; of the rates at most one step from it, the one with
    the best mean over all its seeds is chosen, the lowest of equal ones.
    """
    peak = peak_of(curve)
    if peak is None:
        return None
    _, all_K = _means(curve, None)
    near_KK = np.array([[is_near(rate, other) for rate in curve.rates] for other in curve.rates])
    index = int(np.where(near_KK[peak], all_K[0], -np.inf).argmax())
    num_prompts = next(values.shape[1] for values in curve.values if values is not None)
    counts_RP = np.random.default_rng(seed).multinomial(num_prompts, [1 / num_prompts] * num_prompts, size=draws)
    first_RK, all_RK = _means(curve, counts_RP)
    anew_R = np.where(near_KK[first_RK.argmax(axis=1)], all_RK, -np.inf).argmax(axis=1)
    near_R = np.where(near_KK[peak], all_RK, -np.inf).argmax(axis=1)
    left_R = _left_out(curve, counts_RP)[np.arange(draws), near_R]
    left_R = left_R[np.isfinite(left_R)]
    shares = np.bincount(anew_R, minlength=len(curve.rates)) / draws
    corrected = float(left_R.mean()) if len(left_R) else None
    return Choice(index, float(all_K[0, index]), corrected, tuple(map(float, shares)))


def _left_out(curve: Curve, counts_RP: NDArray[np.int_]) -> Array:
    """Means (R, K) of all seeds but the first over the prompts that are left out; minus infinity where none is."""
    others = [None if values is None or len(values) == 1 else values[1:] for values in curve.values]
    _, left_RK = _means(Curve(curve.rates, curve.on_grid, others), (counts_RP == 0).astype(int))
    return left_RK


def _means(curve: Curve, counts_RP: NDArray[np.int_] | None) -> tuple[Array, Array]:
    """Means (R, K) over prompts, each counted as often as drawn: of grid points' first seeds, and over all seeds.

    counts: None for every prompt once (R = 1). Minus infinity where a rate cannot be chosen: it failed, is no point
    of the grid (first seeds alone), or has no scored prompt in a draw.
    """
    first, every = [], []
    for values_SP, on_grid in zip(curve.values, curve.on_grid, strict=True):
        if values_SP is None:
            mean_RS = np.full((1 if counts_RP is None else len(counts_RP), 1), -np.inf)
        else:
            weights_RP = np.ones((1, values_SP.shape[1])) if counts_RP is None else counts_RP
            known_SP = ~np.isnan(values_SP)
            total_RS = weights_RP @ np.nan_to_num(values_SP).T
            number_RS = weights_RP @ known_SP.T
            mean_RS = np.where(number_RS > 0, total_RS / np.maximum(number_RS, 1), -np.inf)
        first.append(mean_RS[:, 0] if on_grid else np.full(len(mean_RS), -np.inf))
        every.append(mean_RS.mean(axis=1))
    return np.stack(first, axis=1), np.stack(every, axis=1)
