"""FastChat's files of answers and judgments, written and read as it does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest

from ropo_bench.scoring.mt_bench.export import answer_rows, pair_rows, single_rows, write_rows
from ropo_bench.scoring.mt_bench.fastchat import read_judgments, read_rows
from ropo_bench.scoring.mt_bench.judgments import score_judgments
from ropo_bench.scoring.mt_bench.pairwise import PAIRWISE
from ropo_bench.scoring.mt_bench.single import SINGLE
from ropo_bench.sources.prompts import read_answers
from ropo_bench.types import Completion, Score
from tests.scoring.mt_bench.mt_examples import JUDGE, OURS, THEIRS, material, said

GRADES = said({"81:1": "[[8]]", "81:2": "no idea", "111:1": "Rating: [[2.5]]"})
BATTLES = said(
    {
        "81:1:g1": "[[A]]",
        "81:1:g2": "[[B]]",
        "81:2:g1": "[[A]]",
        "81:2:g2": "?",
        "111:1:g1": "[[B]]",
        "111:1:g2": "[[A]]",
    }
)


def values(scores: Sequence[Score], metric: str) -> list[float]:
    return [score.value for score in scores if score.metric == metric and score.value is not None]


@pytest.mark.parametrize("name", ["m.jsonl", "m.jsonl.gz"])
def test_answers_read_back(tmp_path: Path, name: str) -> None:
    completions = [
        *OURS,
        Completion("81", 1, ("hey “you”", "hey\nagain"), (1, 2)),
        Completion("a-1", 0, ("x",), (1,)),
    ]
    write_rows(tmp_path / name, answer_rows(completions, "m", 0.0))
    rows = [row for _, row in read_rows(tmp_path / name)]
    assert [row["question_id"] for row in rows] == [81, 111, "a-1"]
    assert rows[0]["choices"] == [
        {"index": 0, "turns": ["hi", "hi again"]},
        {"index": 1, "turns": ["hey “you”", "hey\nagain"]},
    ]
    assert len({row["answer_id"] for row in rows}) == 3
    back = {(c.prompt_id, c.sample): c.turns for c in read_answers(str(tmp_path / name))}
    first = {("81", 0): ("hi", "hi again"), ("111", 0): ("2", "4"), ("a-1", 0): ("x",)}
    assert {key: back[key] for key in first} == first


def test_published_answers_read_and_write_back(assets: Path, tmp_path: Path) -> None:
    path = assets / "mt_bench/model_answer/vicuna-7b-v1.3.jsonl.gz"
    write_rows(tmp_path / "vicuna.jsonl", answer_rows(read_answers(str(path)), "vicuna-7b-v1.3", 0.0))
    published = {row["question_id"]: row for _, row in read_rows(path)}
    written = {row["question_id"]: row for _, row in read_rows(tmp_path / "vicuna.jsonl")}
    assert written.keys() == published.keys()
    for question, row in written.items():
        assert row["choices"] == published[question]["choices"]
        assert row["model_id"] == published[question]["model_id"]


@pytest.mark.usefixtures("assets")
def test_grades_score_the_same_here_in_our_reader_and_by_fastchats_rule(tmp_path: Path) -> None:
    path = tmp_path / "judge-1_single.jsonl"
    write_rows(path, single_rows(material(), JUDGE, GRADES, "m", 1.0))
    rows = [row for _, row in read_rows(path)]
    assert [(row["question_id"], row["turn"], row["score"]) for row in rows] == [
        (81, 1, 8),
        (81, 2, -1),
        (111, 1, 2.5),
    ]
    assert [row["judge"][1] for row in rows] == ["single-v1", "single-v1-multi-turn", "single-math-v1"]
    expected = fmean(values(SINGLE.score(material(), JUDGE, GRADES), "score_corrected"))
    for rule in ("default", "fastchat"):
        [found] = score_judgments(read_judgments(path, pairwise=False), rule)
        assert found.measurements[0].value == expected == 5.25
        assert (found.judge, found.measurements[0].n_unscored) == ("judge-1", 1)


@pytest.mark.usefixtures("assets")
def test_battles_score_the_same_here_in_our_reader_and_by_fastchats_rule(tmp_path: Path) -> None:
    path = tmp_path / "judge-1_pair.jsonl"
    pieces = material("mt-bench-pairwise")
    write_rows(path, pair_rows(pieces, JUDGE, BATTLES, ("m", "SFT"), 1.0))
    rows = [row for _, row in read_rows(path)]
    winners = [(row["g1_winner"], row["g2_winner"]) for row in rows]
    assert winners == [("model_1", "model_1"), ("model_1", "error"), ("model_2", "model_2")]
    for rule in ("default", "fastchat"):
        found = {one.model: one for one in score_judgments(read_judgments(path, pairwise=True), rule)}
        cells = {one.metric: one for one in found["m"].measurements}
        for name in ("wwr", "win", "tie", "loss"):
            assert cells[name].value == fmean(values(PAIRWISE.score(pieces, JUDGE, BATTLES), name))
        assert (cells["wwr"].n, cells["wwr"].n_unscored) == (2, 1)


@pytest.mark.usefixtures("assets")
def test_a_tie_of_identical_answers_is_written_as_a_tie(tmp_path: Path) -> None:
    path = tmp_path / "judge-1_pair.jsonl"
    write_rows(
        path, pair_rows(material("mt-bench-pairwise", theirs=[OURS[0], THEIRS[1]]), JUDGE, {}, ("m", "SFT"), 1.0)
    )
    assert [(r["question_id"], r["g1_winner"], r["g2_winner"]) for _, r in read_rows(path)] == [
        (81, "tie", "tie")
    ] * 2


@pytest.mark.usefixtures("assets")
def test_lines_are_what_fastchat_reads() -> None:
    """Every key that FastChat's loaders and show_result look up."""
    [row, *_] = single_rows(material(), JUDGE, GRADES, "m", 1.0)
    assert {"question_id", "model", "judge", "user_prompt", "judgment", "score", "turn", "tstamp"} == row.keys()
    [pair, *_] = pair_rows(material("mt-bench-pairwise"), JUDGE, BATTLES, ("m", "SFT"), 1.0)
    games = {f"g{n}_{what}" for n in (1, 2) for what in ("winner", "user_prompt", "judgment")}
    assert {"question_id", "model_1", "model_2", "judge", "turn", "tstamp", *games} == pair.keys()
    assert json.loads(json.dumps(row)) == row
