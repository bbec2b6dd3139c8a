"""`ropo-bench score alpaca-eval` on published files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropo_bench.commands.score.alpaca_eval import score_alpaca_eval_command
from ropo_bench.errors import UsageError
from ropo_bench.scoring.alpaca_eval.leaderboard import read_leaderboard


def test_json_of_published_annotations(assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, written = assets / "gemma-7b-it" / "annotations.json.gz", tmp_path / "leaderboard.csv"
    known = json.loads((assets / "expected.json").read_text())["models"]["gemma-7b-it"]
    c = known["published_lc_is_reached_at"]["C"]
    score_alpaca_eval_command(path, c, True, written)
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    (row,) = found["rows"]
    assert (row["model"], row["rule"], row["lc_c"]) == ("gemma-7b-it", "default", c)
    metrics, published = row["metrics"], known["published"]
    assert set(metrics) == {"win_rate", "discrete_win_rate", "lc_win_rate", "average_length"}
    assert metrics["win_rate"]["value"] == pytest.approx(published["win_rate"], abs=1e-6)
    assert metrics["lc_win_rate"]["value"] == pytest.approx(published["length_controlled_winrate"], abs=1e-6)
    assert metrics["lc_win_rate"]["low"] < metrics["lc_win_rate"]["value"] - metrics["lc_win_rate"]["standard_error"]
    assert metrics["lc_win_rate"]["high"] > metrics["lc_win_rate"]["value"] + metrics["lc_win_rate"]["standard_error"]
    assert metrics["average_length"] == {"value": published["avg_length"], "n": 805, "n_unscored": 0}
    (line,) = read_leaderboard(written)
    assert line.length_controlled_winrate == metrics["lc_win_rate"]["value"]
    assert line.lc_standard_error == metrics["lc_win_rate"]["standard_error"]
    assert line.n_draws == published["n_draws"]


def test_published_leaderboard_as_it_is(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score_alpaca_eval_command(assets / "leaderboard_rows.csv", json=True)
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    known = json.loads((assets / "expected.json").read_text())["models"]
    assert set(rows) == set(known)
    for model, row in rows.items():
        assert row["metrics"]["lc_win_rate"]["value"] == known[model]["published"]["length_controlled_winrate"]


@pytest.mark.parametrize("c", [0.0, -1.0, float("nan"), float("inf")])
def test_wrong_c(c: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--lc-c"):
        score_alpaca_eval_command(tmp_path / "annotations.json", c)
    with pytest.raises(UsageError, match="is a leaderboard"):
        score_alpaca_eval_command(tmp_path / "leaderboard.csv", 1.0)


def test_an_unknown_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--rule alpaca_eval: did you mean 'alpaca-eval'"):
        score_alpaca_eval_command(tmp_path / "annotations.json", rule="alpaca_eval")
