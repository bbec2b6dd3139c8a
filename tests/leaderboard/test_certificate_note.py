"""The line under a table that says what every merged model was held to."""

from __future__ import annotations

from ropo_bench.leaderboard.notes import _certificate
from ropo_bench.merging.certificate import applied_limits
from ropo_bench.recipes.suite import MergeRecipe
from ropo_bench.runs.record import RowRecord


def row(name: str, kept: float, share: float, merge: MergeRecipe) -> RowRecord:
    figures = {"kept_change": kept, "surviving_share": share, "limits": applied_limits(merge)}
    return RowRecord(name=name, seed=0, certificate=figures)


def test_it_tells_the_limits_of_the_dtype_and_the_least_that_a_cast_left() -> None:
    merge = MergeRecipe(dtype="float16")
    rows = [row("dpo", 0.79, 0.37, merge), row("ropo", 0.99, 0.9, merge), RowRecord(name="SFT", seed=0)]
    line = _certificate(merge, rows)
    assert line is not None
    assert line.startswith("2 merged models passed (float16): mean KL <= 0.001 nats")
    assert "at least 10 % (here 79 %, dpo; of the weights' update 37 %, a note)" in line
    assert "the engine's log-probabilities within 0.02 nats" in line
    assert _certificate(merge, rows[2:]) is None


def test_records_of_before_are_told_as_they_were() -> None:
    limits = {
        "dtype": "float32",
        "top1_agreement": 0.999,
        "mean_kl": 1e-5,
        "surviving_share": 0.5,
        "orthogonality": 1e-5,
    }
    assert _certificate(MergeRecipe(), [RowRecord(name="dpo", seed=0, certificate={"limits": limits})]) == (
        "1 merged models passed (float32): top-1 agreement >= 99.9 %, mean KL <= 1e-05 nats, >= 50 % of the update "
        "survives the cast, |R^T R - I| <= 1e-05"
    )
