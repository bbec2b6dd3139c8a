"""From runs to their leaderboard, from the store alone: finished cells are measured, the rest is pending.

build: rows, columns and title. join: several runs as one. measurements: cells and comparisons, kept once computed.
notes: the lines under the table.
"""

from __future__ import annotations

from ropo_bench.leaderboard.build import leaderboard, measure_rows
from ropo_bench.leaderboard.measurements import compare_scores, estimators, samples_of, stored_samples

__all__ = ["compare_scores", "estimators", "leaderboard", "measure_rows", "samples_of", "stored_samples"]
