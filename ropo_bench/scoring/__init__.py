"""Scorers: from completions, or from a merged model, to scores. Names only; code is imported on use."""

from __future__ import annotations

from collections.abc import Mapping

SCORERS: Mapping[str, str] = {
    "graded-chat": "ropo_bench.scoring.chat:score",
    "arena": "ropo_bench.scoring.arena:score",
    "diversity": "ropo_bench.scoring.diversity:score",
    "pocket-commonsense": "ropo_bench.scoring.commonsense:score",
    "energy": "ropo_bench.scoring.energy:score",
}
"""With prompts: function(task, prompts, completions, baseline). Without: function(task, model_dir, base_dir)."""

ESTIMATORS: Mapping[str, str] = {"lc_win_rate": "ropo_bench.scoring.length_control:estimate"}
"""Estimators beside those of `statistics`, for its `measure`."""
