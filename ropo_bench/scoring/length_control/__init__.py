"""Length-controlled win rates (arXiv 2404.04475).

fit: alpaca_eval's estimator, on one table      refit -> lasso: the same fit on every resample at once, exactly
estimator: what a column's `lc_win_rate` makes of scores
"""

from __future__ import annotations

from ropo_bench.scoring.length_control.estimator import estimate
from ropo_bench.scoring.length_control.fit import Array, C, Gamed, LengthControl, control_length, logistic
from ropo_bench.scoring.length_control.refit import win_rates

__all__ = ["Array", "C", "Gamed", "LengthControl", "control_length", "estimate", "logistic", "win_rates"]
