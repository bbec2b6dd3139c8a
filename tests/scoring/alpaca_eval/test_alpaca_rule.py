"""The rule by which the published length-controlled win rates were made."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.scoring.alpaca_eval import estimator
from ropo_bench.scoring.alpaca_eval.listed import GRID
from ropo_bench.scoring.alpaca_eval.win_rates import measure_annotations
from tests.scoring.alpaca_eval.test_alpaca_win_rates import MODELS, annotations, expected, value


@pytest.mark.parametrize("model", MODELS)
def test_rule_alpaca_eval_gives_the_published_figures(assets: Path, model: str) -> None:
    known = expected(assets, model)["published"]
    (row,) = measure_annotations(annotations(assets, model), rule="alpaca-eval")
    for metric, name in {"win_rate": "win_rate", "lc_win_rate": "length_controlled_winrate"}.items():
        assert value(row, metric) == pytest.approx(known[name], abs=1e-6)
    assert f"on alpaca_eval's leaderboard as {model}" in row.notes[0]


def test_rule_alpaca_eval_takes_difficulties_by_position(assets: Path) -> None:
    """A file that lacks its first row: every difficulty is the neighbour's, as alpaca_eval's own code has it."""
    import pandas as pd
    import sklearn
    from alpaca_eval.metrics import glm_winrate

    from ropo_bench.sources.assets import asset

    short = annotations(assets, "gemma-7b-it")[1:]
    (row,) = measure_annotations(short, rule="alpaca-eval")
    (by_text,) = measure_annotations(short)
    path = str(asset(estimator.GAMED))
    with pytest.MonkeyPatch.context() as patch, sklearn.config_context():
        patch.setattr(glm_winrate, "hf_hub_download", lambda **_: path)
        theirs = glm_winrate.get_length_controlled_winrate(
            pd.DataFrame([asdict(one) for one in short]), save_weights_dir=None, is_add_glm_preference_inplace=False
        )
    assert value(row, "lc_win_rate") == pytest.approx(theirs["length_controlled_winrate"], abs=1e-9)
    assert abs(value(by_text, "lc_win_rate") - value(row, "lc_win_rate")) > 0.01
    assert "difficulties by position" in row.notes[0]
    assert "by cross-validation" in row.notes[1]  # its win rate is on no leaderboard
    assert row.c in GRID
    with pytest.raises(UsageError, match="906 annotations of gemma-7b-it, and difficulties of 805 positions"):
        measure_annotations([*annotations(assets, "gemma-7b-it"), *short[:101]], rule="alpaca-eval")
