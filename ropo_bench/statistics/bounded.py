"""Intervals of a mean that stay inside the scale of its values and cover near the scale's ends.

Near an end the error of an estimate says little about the error at the truth: of 40 items with 97 % right, three
samples in ten hold none that is wrong, and an error of 0. So the spread is taken where the truth would be. With x on
0..1:

    one seed        |x - p| = q sqrt(x (1 - x) / n_e) at x -> p: Wilson's score interval (J. Am. Statist. Assoc. 1927,
                    22:209) with the t quantile q; n_e = x (1 - x) / error^2 is n for items that are right or wrong
    several seeds   logit p = logit x +- q error / (x (1 - x)): seeds move a rate on its own scale, not on 0..1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ropo_bench.statistics.crossed import LEVEL, Parts

Scale = tuple[float, float]


@dataclass(frozen=True)
class Level:
    """An estimated mean with its error, on a scale (low, high) or on none (None: symmetric t).

    num_clusters: prompts, what an estimate at the very end of its scale rests on. is_one_seed: see above.
    """

    estimate: float
    parts: Parts
    scale: Scale | None
    num_clusters: int
    is_one_seed: bool

    def interval(self, alpha: float = 1 - LEVEL) -> tuple[float, float]:
        """Ends of the interval of level 1 - alpha."""
        from scipy.special import expit, logit

        half = float(self.parts.half_width(alpha))
        if self.scale is None or self._is_outside or not self._bends:
            return self.estimate - half, self.estimate + half
        low, size = self.scale[0], self.scale[1] - self.scale[0]
        x = self._place
        if self._by_logit:
            reach = half / size / (x * (1 - x))
            ends = [float(expit(logit(x) + sign * reach)) for sign in (-1, 1)]
        else:
            share = self._quantile(alpha) ** 2 / self._size_e
            middle, far = (x + share / 2) / (1 + share), np.sqrt(share * x * (1 - x) + share**2 / 4) / (1 + share)
            ends = [middle - far, middle + far]
        first, last = (low + size * min(1.0, max(0.0, float(end))) for end in ends)
        return first, last

    def p_value(self, at: float) -> float:
        """Two-sided, of "the truth is exactly this": the alpha whose interval ends there."""
        from scipy.special import logit

        if self.scale is None or self._is_outside or not self._bends:
            return float(self.parts.p_value(self.estimate - at))
        x, p = self._place, (at - self.scale[0]) / (self.scale[1] - self.scale[0])
        if x == p:
            return 1.0
        if not 0 < p < 1:
            return 0.0  # no value lies there, unless all do
        if self._by_logit:
            return float(self.parts.p_value(float(abs(logit(x) - logit(p))) * x * (1 - x) * self._unit))
        quantile = abs(x - p) / float(np.sqrt(p * (1 - p) / self._size_e))
        return float(self._unitless.p_value(quantile))

    @property
    def _unit(self) -> float:
        assert self.scale is not None
        return self.scale[1] - self.scale[0]

    @property
    def _place(self) -> float:
        """The estimate as a share of its scale."""
        assert self.scale is not None
        return (self.estimate - self.scale[0]) / self._unit

    @property
    def _is_outside(self) -> bool:
        return not 0 <= self._place <= 1

    @property
    def _is_at_end(self) -> bool:
        return self._place in (0.0, 1.0)

    @property
    def _bends(self) -> bool:
        """Whether there is an error, or an end where none can be seen; a census in the middle has neither."""
        return float(self.parts.variance) > 0 or (self._is_at_end and self.num_clusters > 1)

    @property
    def _by_logit(self) -> bool:
        return not self.is_one_seed and not self._is_at_end

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
            return Parts(
                p.prompts / variance, p.seeds / variance, p.rest / variance,
                p.degrees_prompts, p.degrees_seeds, p.degrees_rest,
            )  # fmt: skip
        degrees = float(self.parts.degrees_seeds) or float(self.parts.degrees_prompts)
        return Parts(1.0, degrees_prompts=degrees or self.num_clusters - 1)

    def _quantile(self, alpha: float) -> float:
        return float(self._unitless.half_width(alpha))
