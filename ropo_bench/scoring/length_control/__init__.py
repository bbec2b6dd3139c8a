"""Length-controlled win rates (arXiv 2404.04475).

fit: alpaca_eval's estimator, on one table      refit -> lasso: the same fit on every resample at once, exactly
shift: how far it has to extrapolate
estimator: what a column's `lc_win_rate` makes of scores
"""

from __future__ import annotations

from ropo_bench.scoring.length_control.estimator import estimate
from ropo_bench.scoring.length_control.fit import Array, C, Gamed, LengthControl, control_length, logistic
from ropo_bench.scoring.length_control.refit import win_rates
from ropo_bench.scoring.length_control.shift import length_shift, shift_caution

__all__ = [
    "Array",
    "C",
    "Gamed",
    "LengthControl",
    "control_length",
    "estimate",
    "length_shift",
    "logistic",
    "shift_caution",
    "win_rates",
]
