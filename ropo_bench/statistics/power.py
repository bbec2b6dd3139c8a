"""What a planned table could see: errors from a variance split, detectable effects, prompts and seeds needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from ropo_bench.statistics.blocks import Blocks, fixed_part, paired_part, split_seeds
from ropo_bench.statistics.crossed import Parts
from ropo_bench.statistics.moderation import moderate_upwards
from ropo_bench.statistics.sample import Array

POWER = 0.8
ALPHA = 0.05
_MOST = 1_000_000
_TABLES = 1000
_MANY = 60  # seeds beyond which a variance over them is known


def visible_effect(parts: Parts, alpha: float = ALPHA, power: float = POWER, columns: float = 0.0) -> float:
    """The true difference that a two-sided test at this level, with just these variances, finds so often.

    columns: of a family of comparisons with one reference, alpha times its comparisons over the level of the part
    that they share (statistics.multiplicity); 0: the same level.
    """
    half = parts.half_width(alpha, alpha * columns if columns else None)
    return float(half) + NormalDist().inv_cdf(power) * float(parts.standard_error)


def minimum_detectable_effect(
    standard_error: float, degrees: float | None = None, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Smallest true difference that a two-sided t test at level alpha finds with this power.

    By the noncentral t distribution (Cohen 1988, chapter 2) with these degrees; None: normal theory. A significant
    difference of the wrong sign does not count.
    """
    if degrees is None:
        normal = NormalDist()
        return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * standard_error
    from scipy.special import nctdtrinc, stdtrit

    return float(nctdtrinc(degrees, 1 - power, stdtrit(degrees, 1 - alpha / 2))) * standard_error


def planned_error(
    split: Mapping[str, float], num_prompts: int, num_seeds: int, num_methods: int = 1
) -> tuple[float, float]:
    """(standard error, degrees) to expect from so many prompts and seeds (see planned_parts)."""
    parts = planned_parts(split, num_prompts, num_seeds, num_methods)
    return float(parts.standard_error), float(parts.degrees())


def planned_parts(split: Mapping[str, float], num_prompts: int, num_seeds: int, num_methods: int = 1) -> Parts:
    """The true variances of a cell or difference, with the degrees that estimates of them will have.

    split: standard deviations of one observation by source (Measurement.split), of a row's cell, of the paired
    difference of two rows, or of a row beside a fixed model, where "common" is what a seed does to all methods and
    "seeds" what it does to this one beyond that. "sampling" and "judge" count as drawn once a prompt. With one seed
    "seeds" is left out: the interval is then about the checkpoint. num_methods: of a table, whose seeds tell of each
    other (statistics.blocks).
    """
    rest = sum(split.get(source, 0.0) ** 2 for source in ("rest", "sampling", "judge")) / (num_seeds * num_prompts)
    prompts = split.get("prompts", 0.0) ** 2 / num_prompts + rest
    if num_seeds == 1:
        return Parts(prompts, degrees_prompts=num_prompts - 1)
    own, common = split.get("seeds", 0.0) ** 2 / num_seeds, split.get("common", 0.0) ** 2 / num_seeds
    own_degrees = max(num_methods - 1, 1) * (num_seeds - 1)
    degrees = (num_prompts - 1, own_degrees, (num_prompts - 1) * (num_seeds - 1))
    parts = Parts(prompts, own + rest, rest, *degrees)
    return replace(parts, common=common, degrees_common=num_seeds - 1) if "common" in split else parts


def prompts_needed(
    split: Mapping[str, float],
    effect: float,
    num_seeds: int,
    power: float = POWER,
    alpha: float = ALPHA,
    num_methods: int = 1,
) -> int | None:
    """Fewest prompts with which an effect is found with this power; None where no number does (seeds decide)."""
    return _fewest(lambda n: planned_effect(split, n, num_seeds, power, alpha, num_methods) <= effect)


def seeds_needed(
    split: Mapping[str, float],
    effect: float,
    num_prompts: int,
    power: float = POWER,
    alpha: float = ALPHA,
    num_methods: int = 1,
) -> int | None:
    """Fewest seeds, two at least, with which an effect is found; None where no number does (prompts decide)."""
    return _fewest(lambda n: planned_effect(split, num_prompts, n, power, alpha, num_methods) <= effect)


def planned_effect(
    split: Mapping[str, float],
    num_prompts: int,
    num_seeds: int,
    power: float = POWER,
    alpha: float = ALPHA,
    num_methods: int = 1,
    columns: float = 0.0,
) -> float:
    """The minimum detectable effect of so many prompts and seeds, given a split (see planned_parts, visible_effect).

    With several seeds no t distribution has the test's errors, least of all where several methods' variances are
    moderated upwards, so the test itself is asked over simulated variances.
    """
    parts = planned_parts(split, num_prompts, num_seeds, num_methods)
    error = float(parts.standard_error)
    if num_seeds == 1:
        return minimum_detectable_effect(error, float(parts.degrees()), power, alpha)
    if error == 0:
        return 0.0
    from scipy.optimize import brentq
    from scipy.special import ndtr

    half_T = _drawn(parts, num_methods, num_seeds).half_width(alpha, alpha * columns if columns else None)
    high = float(half_T.max()) + 10 * error
    return float(brentq(lambda effect: float(ndtr((effect - half_T) / error).mean()) - power, 0.0, high))


def _drawn(parts: Parts, num_methods: int, num_seeds: int) -> Parts:
    """What tables of normal data would estimate of these variances, one value a table."""
    own, common = float(parts.seeds), float(parts.common)
    share = round(common / (own + common), 2) if float(parts.degrees_common) else None
    own_T, degrees_T, common_T = _simulate(num_methods, min(num_seeds, _MANY), share)
    spread = own + common if share is not None else own
    prompts_T = _chi_squared(int(parts.degrees_prompts), 1)
    seeds_T = spread * own_T
    if num_methods > 2:  # see statistics.blocks.at_least_rest
        seeds_T = np.maximum(seeds_T, parts.rest - spread * common_T)
    return replace(
        parts,
        prompts=parts.prompts * prompts_T,
        seeds=seeds_T,
        degrees_seeds=degrees_T,
        common=spread * common_T,
        degrees_common=parts.degrees_common,
    )


@lru_cache(maxsize=256)
def _simulate(num_methods: int, num_seeds: int, share: float | None) -> tuple[Array, Array, Array]:
    """Own variance, its degrees and common variance (T,), as statistics.blocks estimates them; the same at every
    call.

    share: of all that a seed does to a method beside a fixed model, what it does to all methods; the three are then
    in units of the whole. None: the difference of two methods, in units of its own variance.
    """
    draw = np.random.default_rng(0)
    names = [f"m{i}" for i in range(max(num_methods, 1))]
    if num_methods < 2:
        return _chi_squared(num_seeds - 1, 0), np.full(_TABLES, num_seeds - 1.0), np.zeros(_TABLES)
    estimates = np.empty((_TABLES, 3))
    for table in range(_TABLES):
        estimates_MS = (1 - (share or 0.0)) ** 0.5 * draw.normal(size=(num_methods, num_seeds))
        estimates_MS += (share or 0.0) ** 0.5 * draw.normal(size=num_seeds)
        common, own_M = split_seeds(estimates_MS)
        variances_M, degrees_M = moderate_upwards(own_M, np.full(num_methods, num_seeds - 1.0))
        own = dict(zip(names, zip(variances_M.tolist(), degrees_M.tolist(), strict=True), strict=True))
        total = dict(zip(names, estimates_MS.var(axis=1, ddof=1).tolist(), strict=True))
        blocks = Blocks(num_methods, common, own, total)
        if share is None:
            part = paired_part(blocks, names[0], names[1], num_seeds)
            estimates[table] = part.seeds * num_seeds / 2, part.degrees_seeds, 0.0
        else:
            part = fixed_part(blocks, names[0], num_seeds)
            estimates[table] = part.seeds * num_seeds, part.degrees_seeds, part.common * num_seeds
    return estimates[:, 0], estimates[:, 1], estimates[:, 2]


def _chi_squared(degrees: int, seed: int) -> Array:
    """Estimated over true variance (T,), of so many degrees, in an order of its own."""
    from scipy.special import chdtri

    quantiles_T = chdtri(degrees, (np.arange(_TABLES) + 0.5) / _TABLES) / degrees
    shuffled_T: Array = np.random.default_rng(seed).permutation(quantiles_T)
    return shuffled_T


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """Smallest count from 2 on that is enough, where more is never worse."""
    high = 2
    while not enough(high):
        if high >= _MOST:
            return None
        high = min(2 * high, _MOST)
    low = max(2, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high
