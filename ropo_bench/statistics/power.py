"""What a planned table could see: errors from a variance split, detectable effects, prompts and seeds needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import NormalDist

from ropo_bench.statistics.crossed import Parts
from ropo_bench.statistics.moderation import simulated_pairs

POWER = 0.8
ALPHA = 0.05
_MOST = 1_000_000


def minimum_detectable_effect(
    standard_error: float,
    degrees: float | None = None,
    power: float = POWER,
    alpha: float = ALPHA,
    seed_degrees: float = 0.0,
) -> float:
    """Smallest true difference that a two-sided test at level alpha finds with this power.

    By the noncentral t distribution (Cohen 1988, chapter 2) with these degrees, a Measurement's or Comparison's;
    None: normal theory. seed_degrees: of the variance over seeds (seeds - 1, or those of all methods of a table
    together); needed where alpha is not 5 %, because with several seeds the degrees are those of the 95 % interval,
    and fewer at a smaller alpha. A significant difference of the wrong sign does not count.
    """
    if degrees is None:
        normal = NormalDist()
        return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * standard_error
    from scipy.special import nctdtrinc, stdtrit

    if seed_degrees and alpha != ALPHA:
        degrees = _degrees_at(alpha, degrees, min(seed_degrees, degrees))
    return float(nctdtrinc(degrees, 1 - power, stdtrit(degrees, 1 - alpha / 2))) * standard_error


def _degrees_at(alpha: float, degrees: float, fewest: float) -> float:
    """Degrees of t for the interval of level 1 - alpha, from those of the 95 % interval.

    The half width squared is a mixture of squared quantiles (crossed.Parts), of `fewest` degrees with the share that
    seeds have of the variance, and else of so many that they are normal; the 95 % interval tells the share.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri, stdtrit

    def squared(level: float, count: float) -> float:
        return float(stdtrit(count, 1 - level / 2)) ** 2

    normal = float(ndtri(1 - ALPHA / 2)) ** 2
    share = min(1.0, max(0.0, (squared(ALPHA, degrees) - normal) / (squared(ALPHA, fewest) - normal)))
    wanted = share * squared(alpha, fewest) + (1 - share) * float(ndtri(1 - alpha / 2)) ** 2
    low, high = fewest * (1 - 1e-6), 1e7
    if squared(alpha, high) >= wanted:
        return high
    return float(brentq(lambda count: squared(alpha, count) - wanted, low, high))


def planned_error(
    split: Mapping[str, float], num_prompts: int, num_seeds: int, num_methods: int = 1
) -> tuple[float, float]:
    """(standard error, degrees) to expect from so many prompts and seeds, given a split (Measurement.split).

    split: of a row's cell, or of the paired difference of two rows (`split` of `difference`). "sampling" and "judge"
    count as drawn once a prompt. With one seed "seeds" is left out: the interval is then about the checkpoint.
    num_methods: of a table, whose seeds tell of each other (statistics.moderation).
    """
    found = _planned_parts(split, num_prompts, num_seeds, num_methods)
    return float(found.standard_error), float(found.degrees())


def _planned_parts(split: Mapping[str, float], num_prompts: int, num_seeds: int, num_methods: int) -> Parts:
    """The true parts of a cell or difference, with the degrees that estimates of them have."""
    rest = sum(split.get(source, 0.0) ** 2 for source in ("rest", "sampling", "judge")) / (num_seeds * num_prompts)
    prompts, seeds = split.get("prompts", 0.0) ** 2 / num_prompts, split.get("seeds", 0.0) ** 2 / num_seeds
    found = Parts(prompts + rest, degrees_prompts=num_prompts - 1)
    if num_seeds > 1:
        degrees = (num_prompts - 1, _seed_degrees(num_seeds, num_methods), (num_prompts - 1) * (num_seeds - 1))
        found = Parts(prompts + rest, seeds + rest, rest, *degrees)
    return found


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
) -> float:
    """The minimum detectable effect of so many prompts and seeds, given a split (see planned_error).

    With several seeds no t distribution has the test's errors, least of all where several methods' variances are
    moderated upwards, so the test itself is asked over simulated variances.
    """
    parts = _planned_parts(split, num_prompts, num_seeds, num_methods)
    if num_seeds == 1:
        return minimum_detectable_effect(float(parts.standard_error), float(parts.degrees()), power, alpha)
    from scipy.optimize import brentq
    from scipy.special import ndtr

    rise_T, degrees_T = simulated_pairs(num_methods, num_seeds - 1)
    prompts_T, _ = simulated_pairs(1, num_prompts - 1)
    drawn = replace(
        parts, prompts=parts.prompts * prompts_T[::-1], seeds=parts.seeds * rise_T, degrees_seeds=degrees_T
    )
    half_T = drawn.half_width(alpha)
    error = float(parts.standard_error)
    if error == 0:
        return 0.0
    high = float(half_T.max()) + 10 * error
    return float(brentq(lambda effect: float(ndtr((effect - half_T) / error).mean()) - power, 0.0, high))


def _seed_degrees(num_seeds: int, num_methods: int) -> int:
    """Of the variance over seeds, moderated by the other methods of a table."""
    return max(num_methods - 1, 1) * (num_seeds - 1)


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
