"""What the `score` commands print: a table for people, JSON in full precision."""

from __future__ import annotations

import json

import pytest

from ropo_bench.commands.score.output import Metric, ScoreRow, print_rows, to_json

ROWS = [
    ScoreRow("m[bold]", {"win_rate": Metric(50.123456789, 10, 2, 1.5), "n": Metric(None, 0, 3)}, ["two left out"]),
    ScoreRow("other", {"win_rate": Metric(0.25, 12)}, ["two left out"], {"judge": "gpt-4", "n_duplicates": 3}),
]


def test_json_has_every_number_in_full() -> None:
    content = json.loads(to_json(ROWS))
    assert content["schema"] == 1
    first, second = content["rows"]
    assert first["model"] == "m[bold]"
    assert first["metrics"]["win_rate"] == {"value": 50.123456789, "n": 10, "n_unscored": 2, "standard_error": 1.5}
    assert first["metrics"]["n"] == {"value": None, "n": 0, "n_unscored": 3}
    assert first["notes"] == ["two left out"]
    assert second["metrics"] == {"win_rate": {"value": 0.25, "n": 12, "n_unscored": 0}}
    assert (second["judge"], second["n_duplicates"]) == ("gpt-4", 3)


def test_nan_is_null_in_json() -> None:
    text = to_json([ScoreRow("m", {"x": Metric(float("nan"), 1)})])
    assert json.loads(text, parse_constant=pytest.fail)["rows"][0]["metrics"]["x"]["value"] is None


def test_json_is_one_object_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, json=True)
    assert json.loads(capsys.readouterr().out)["rows"][1]["model"] == "other"


def test_the_table_shows_values_coverage_and_each_note_once(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, json=False)
    text = capsys.readouterr().out
    for part in ("m[bold]", "50.123 ± 1.500 (10/12)", "– (0/3)", "0.2500", "gpt-4"):
        assert part in text
    assert text.count("two left out") == 1


def test_a_table_too_wide_for_the_terminal_is_turned_and_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    metrics = {f"metric_{i}": Metric(1000.0 + i, 5) for i in range(12)}
    print_rows([ScoreRow("a", metrics), ScoreRow("b" * 60, metrics)], json=False)
    text = capsys.readouterr().out
    assert "…" not in text
    assert "b" * 60 in text
    assert all(line.count("metric_") <= 1 for line in text.splitlines())
    assert text.count("1011.000") == 2
