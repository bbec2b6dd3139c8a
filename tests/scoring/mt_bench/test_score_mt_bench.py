"""`ropo-bench score mt-bench` on files of judgments."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.commands.score.mt_bench import score_mt_bench_command
from ropo_bench.errors import UsageError
from ropo_bench.scoring.mt_bench.fastchat import read_judgments

GRADE = {"question_id": 81, "model": "m", "judge": ["gpt-4", "single-v1"], "score": 7, "turn": 1}
BATTLE = {"question_id": 81, "model_1": "m", "model_2": "base", "judge": ["gpt-4", "pair-v2"], "turn": 1}
BATTLE |= {"g1_winner": "model_1", "g2_winner": "model_1"}


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "judgments.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def printed(capsys: pytest.CaptureFixture[str], path: Path, pairwise: bool = False, rule: str = "default") -> Any:
    score_mt_bench_command(path, pairwise, rule, None, json=True)
    return json.loads(capsys.readouterr().out)["rows"]


def test_one_row_a_model_with_its_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, GRADE, {**GRADE, "score": 8}, {**GRADE, "model": "n", "score": 9})
    best, other = printed(capsys, path)
    assert (best["model"], best["n_duplicates"], best["metrics"]["average"]["value"]) == ("n", 0, 9)
    assert (other["model"], other["n_duplicates"], other["metrics"]["average"]["value"]) == ("m", 1, 7.5)
    assert "1 duplicates" in other["notes"][0]


def test_battles_with_a_baseline_give_the_other_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, BATTLE, {**BATTLE, "question_id": 82, "g2_winner": "tie"})
    [row] = printed(capsys, path, pairwise=True)
    assert (row["model"], row["opponent"]) == ("m", "base")
    assert {name: row["metrics"][name]["value"] for name in ("wwr", "win", "tie", "loss")} == {
        "wwr": 75,
        "win": 50,
        "tie": 50,
        "loss": 0,
    }
    score_mt_bench_command(path, True, "default", "base", json=True)
    assert json.loads(capsys.readouterr().out)["rows"][0]["metrics"]["wwr"]["value"] == 25


def test_gzip_is_read_and_a_table_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "judgments.jsonl.gz"
    path.write_bytes(gzip.compress(write(tmp_path, GRADE, {**GRADE, "turn": 2, "score": -1}).read_bytes()))
    score_mt_bench_command(path, False, "default", "m", json=False)
    text = capsys.readouterr().out
    assert "7.000 (1/2)" in text
    assert "1 of 2 without a valid score" in text


def test_whole_floats_are_the_numbers_that_pandas_read(tmp_path: Path) -> None:
    floats = {"question_id": 81.0, "turn": 2.0}
    for line, pairwise in ((GRADE, False), (BATTLE, True)):
        as_ints = read_judgments(write(tmp_path, {**line, "question_id": 81, "turn": 2}), pairwise)
        assert read_judgments(write(tmp_path, {**line, **floats}), pairwise) == as_ints
    assert (as_ints[0].question, as_ints[0].turn) == ("81", 2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 2: not JSON"),
        ("[1]", r"line 2: not a JSON object"),
        ({**GRADE, "score": "7"}, r"line 2: not a judgment \(score must be a number, given '7'\)"),
        ({**GRADE, "score": float("nan")}, r"line 2: .*score must be a number"),
        ({**GRADE, "turn": "1"}, r"line 2: .*turn must be 1 or 2, given '1'"),
        ({**GRADE, "turn": 1.5}, r"line 2: .*turn must be 1 or 2, given 1.5"),
        ({**GRADE, "turn": float("nan")}, r"line 2: .*turn must be 1 or 2, given nan"),
        ({**GRADE, "question_id": 81.5}, r"line 2: .*question_id must be a whole number or a text, given 81.5"),
        ({**GRADE, "judge": []}, r"line 2: .*judge must be a name"),
        ({**GRADE, "model": None}, r"line 2: .*model must be a name"),
        ({key: value for key, value in GRADE.items() if key != "turn"}, r"line 2: not a judgment \(no turn\)"),
        (BATTLE, r"line 2: a file of battles; give --pairwise"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        score_mt_bench_command(write(tmp_path, GRADE, line), False, "default", None, json=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (GRADE, "line 2: a file of grades; leave --pairwise out"),
        ({**BATTLE, "g1_winner": "m"}, "line 2: .*a winner is one of model_1, model_2, tie, error, given 'm'"),
        ({**BATTLE, "g1_winner": []}, "line 2: .*a winner is one of"),
        ({**BATTLE, "model_2": "m"}, "line 2: .*both 'm'"),
    ],
)
def test_a_bad_battle_is_named(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        score_mt_bench_command(write(tmp_path, BATTLE, line), True, "default", None, json=True)


def test_what_else_a_user_may_get_wrong(tmp_path: Path) -> None:
    path = write(tmp_path, GRADE)
    with pytest.raises(UsageError, match="--rule fastcaht: did you mean 'fastchat'"):
        score_mt_bench_command(path, False, "fastcaht", None, json=True)
    with pytest.raises(UsageError, match="no judgments of the model 'x'; it has: m"):
        score_mt_bench_command(path, False, "default", "x", json=True)
