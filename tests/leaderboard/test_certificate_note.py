"""The line under a table that says what every merged model was held to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ropo_bench.leaderboard.notes import _certificate
from ropo_bench.merging.certificate import applied_limits
from ropo_bench.suites import MergeRecipe

ROOT = Path(__file__).parents[2]


def row(name: str, kept: float, share: float, merge: MergeRecipe) -> dict[str, Any]:
    figures = {"kept_change": kept, "surviving_share": share, "limits": applied_limits(merge)}
    return {"name": name, "seed": 0, "certificate": figures}


def test_it_tells_the_limits_of_the_dtype_and_the_least_that_a_cast_left() -> None:
    merge = MergeRecipe(dtype="float16")
    rows = [row("dpo", 0.79, 0.37, merge), row("ropo", 0.99, 0.9, merge), {"name": "SFT", "certificate": None}]
    line = _certificate(merge.model_dump(), rows)
    assert line is not None
    assert line.startswith("2 merged models passed (float16): mean KL <= 0.001 nats")
    assert "at least 10 % (here 79 %, dpo; of the weights' update 37 %, a note)" in line
    assert "the engine's log-probabilities within 0.02 nats" in line
    assert _certificate(merge.model_dump(), rows[2:]) is None


def test_records_of_before_are_told_as_they_were() -> None:
    held = json.loads((ROOT / "results/pocket/certificates.json").read_text())
    limits = {**held[0]["limits"], "dtype": held[0]["dtype"]}
    rows = [{"name": one["row"], "certificate": one} for one in held]
    line = _certificate(limits, rows)
    assert line is not None
    assert ">= 50 % of the update survives the cast" in line
