"""Intervals of a mean that stay inside the scale of its values and cover near the scale's ends.

Near an end the error of an estimate says little about the error at the truth: of 40 items with 97 % right, three
samples in ten hold none that is wrong, and an error of 0. So the spread is taken where the truth would be. With x on
0..1 of the scale, and q the quantile of the interval over its error:

    right or wrong, one seed    |x - p| = q sqrt(x (1 - x) / n_e) at x -> p: Wilson's score interval (J. Am. Statist.
                                Assoc. 1927, 22:209) with the t quantile; n_e = x (1 - x) / error^2
    several seeds               logit p = logit x +- q error / (x (1 - x)): seeds move a rate on its own scale
    anything else               Hall's interval, which takes the values' skewness out (statistics.skewness)

Several seeds of anything else: the hull of the last two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ropo_bench.statistics.crossed import LEVEL, Parts
from ropo_bench.statistics.skewness import twist, untwist

Scale = tuple[float, float]


@dataclass(frozen=True)
class Level:
    """An estimated mean with its error, on a scale (low, high) or on none (None: symmetric t).

    num_clusters: prompts, what an estimate at the very end of its scale rests on. is_one_seed: see above. skewness:
    of the estimate; None where values are right or wrong.
    """

    estimate: float
    parts: Parts
    scale: Scale | None
    num_clusters: int
    is_one_seed: bool
    skewness: float | None = None

    def interval(self, alpha: float = 1 - LEVEL) -> tuple[float, float]:
        """Ends of the interval of level 1 - alpha."""
        half = float(self.parts.half_width(alpha))
        if not self._bends:
            return self.estimate - half, self.estimate + half
        ends = [end for ends in self._ends(half, alpha) for end in ends]
        low, unit = self._low, self._unit
        first, last = (low + unit * min(1.0, max(0.0, end)) for end in (min(ends), max(ends)))
        return min(first, self.estimate), max(last, self.estimate)  # rounding, at the very end of the scale

    def p_value(self, at: float) -> float:
        """Two-sided, of "the truth is exactly this": the alpha whose interval ends there."""
        if not self._bends:
            return float(self.parts.p_value(self.estimate - at))
        x, p = self._place, (at - self._low) / self._unit
        if x == p:
            return 1.0
        if not 0 < p < 1:
            return 0.0  # no value lies there, unless all do
        return max(self._p_values(x, p))

    def _ends(self, half: float, alpha: float) -> list[tuple[float, float]]:
        """Ends on 0..1 of each interval that applies."""
        from scipy.special import expit, logit

        x, ends = self._place, []
        if self._by_wilson:
            share = float(self._unitless.half_width(alpha)) ** 2 / self._size_e
            middle, far = (x + share / 2) / (1 + share), np.sqrt(share * x * (1 - x) + share**2 / 4) / (1 + share)
            return [(float(middle - far), float(middle + far))]
        if not self.is_one_seed:
            reach = half / self._unit / (x * (1 - x))
            ends.append((float(expit(logit(x) - reach)), float(expit(logit(x) + reach))))
        if self.skewness is not None:
            error = float(self.parts.standard_error)
            above, below = (float(twist(sign * half / error, self.skewness)) for sign in (1, -1))
            ends.append((x - error * above / self._unit, x - error * below / self._unit))
        return ends

    def _p_values(self, x: float, p: float) -> list[float]:
        """Of the same, for a truth p inside the scale."""
        from scipy.special import logit

        if self._by_wilson:
            return [float(self._unitless.p_value(abs(x - p) / float(np.sqrt(p * (1 - p) / self._size_e))))]
        p_values = []
        if not self.is_one_seed:
            p_values.append(float(self.parts.p_value(float(abs(logit(x) - logit(p))) * x * (1 - x) * self._unit)))
        if self.skewness is not None:
            error = float(self.parts.standard_error)
            p_values.append(float(self.parts.p_value(error * untwist((x - p) * self._unit / error, self.skewness))))
        return p_values

    @property
    def _low(self) -> float:
        return 0.0 if self.scale is None else self.scale[0]

    @property
    def _unit(self) -> float:
        return 1.0 if self.scale is None else self.scale[1] - self.scale[0]

    @property
    def _place(self) -> float:
        """The estimate as a share of its scale."""
        return (self.estimate - self._low) / self._unit

    @property
    def _is_at_end(self) -> bool:
        return self._place in (0.0, 1.0)

    @property
    def _bends(self) -> bool:
        """Whether there is a scale, and an error, or an end where none can be seen."""
        if self.scale is None or not 0 <= self._place <= 1:
            return False
        return float(self.parts.variance) > 0 or (self._is_at_end and self.num_clusters > 1)

    @property
    def _by_wilson(self) -> bool:
        return self._is_at_end or (self.is_one_seed and self.skewness is None)

    @property
    def _size_e(self) -> float:
        """Items that are right or wrong, of which so many would have this error."""
        x, variance = self._place, float(self.parts.variance) / self._unit**2
        return x * (1 - x) / variance if variance > 0 and not self._is_at_end else float(self.num_clusters)

    @property
    def _unitless(self) -> Parts:
        """Parts of an error of 1."""
        variance = float(self.parts.variance)
        if variance > 0:
            p = self.parts
            return replace(p, prompts=p.prompts / variance, seeds=p.seeds / variance, rest=p.rest / variance)
        degrees = float(self.parts.degrees_seeds) or float(self.parts.degrees_prompts)
        return Parts(1.0, degrees_prompts=degrees or self.num_clusters - 1)
