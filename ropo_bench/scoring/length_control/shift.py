"""How far length control has to extrapolate: the mean length delta in its own standard deviations.

The fit learns what length does from battles of all length deltas and predicts for a delta of 0. Where hardly any
battle is near 0, the regularisation decides the slope, and the win rate is drawn towards the raw one
(docs/statistics.md, "Length-controlled win rates", has how far).
"""

from __future__ import annotations

import math

import numpy as np

from ropo_bench.scoring.length_control.fit import Array

MOST = 2.0
"""Standard deviations beyond which the interval is known to cover too little."""


def length_shift(length_deltas: Array) -> float:
    """Mean over standard deviation of the deltas (X,) of one model; infinite where all are the same and not 0."""
    mean = float(length_deltas.mean())
    spread = float(length_deltas.std(ddof=1)) if len(length_deltas) > 1 else 0.0
    if spread > 1e-9 * np.abs(length_deltas).max():
        return mean / spread
    return math.copysign(math.inf, mean) if mean else 0.0


def shift_caution(shift: float, num_items: int) -> str | None:
    """What to say of a length-controlled win rate at this shift; None within MOST."""
    if abs(shift) <= MOST:
        return None
    who = "shorter" if shift > 0 else "longer"
    far = "all of one length difference" if math.isinf(shift) else f"{abs(shift):.1f} standard deviations {who}"
    return (
        f"answers are {far} than the baseline's (over {num_items:,} battles): length control extrapolates, and beyond"
        f" {MOST:g} its win rate is drawn towards the raw one, the more the fewer battles, by more than its interval"
        " says (docs/statistics.md)"
    )
