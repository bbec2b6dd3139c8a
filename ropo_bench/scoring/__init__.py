"""Scorers: from completions, or from a merged model, to scores. Names only; code is imported on use."""

from __future__ import annotations

from collections.abc import Mapping

SCORERS: Mapping[str, str] = {
    "graded-chat": "ropo_bench.scoring.chat:score",
    "arena": "ropo_bench.scoring.arena:score",
    "diversity": "ropo_bench.scoring.diversity:score",
    "commonsense": "ropo_bench.scoring.commonsense.likelihood:score",
    "commonsense-generative": "ropo_bench.scoring.commonsense.generative:score",
    "pocket-commonsense": "ropo_bench.scoring.commonsense.quiz:score",
    "energy": "ropo_bench.scoring.energy:score",
    "mt-bench": "ropo_bench.scoring.mt_bench.single:SINGLE",
    "mt-bench-pairwise": "ropo_bench.scoring.mt_bench.pairwise:PAIRWISE",
    "alpaca-eval": "ropo_bench.scoring.alpaca_eval.annotate:ALPACA_EVAL",
}
"""With prompts: function(task, prompts, completions, baseline) or JudgedScorer; without: function(task, subject)."""

ESTIMATORS: Mapping[str, str] = {
    "lc_win_rate": "ropo_bench.scoring.length_control:estimate",
    "macro_mean": "ropo_bench.scoring.commonsense.average:macro_mean",
    "alpaca_lc_win_rate": "ropo_bench.scoring.alpaca_eval.calibration:alpaca_lc_win_rate",
}
"""Estimators beside those of `statistics`, for its `measure`."""

DATA: Mapping[str, str] = {"commonsense": "ropo_bench.scoring.commonsense.data:data_of"}
"""Of scorers that read data of their own: function(task) -> what was found here and now, for content keys."""
