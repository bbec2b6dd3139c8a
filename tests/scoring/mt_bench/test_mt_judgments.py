"""MT-Bench's mean grade by our rule and by FastChat's."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from ropo_bench.scoring.mt_bench.fastchat import read_judgments
from ropo_bench.scoring.mt_bench.judgments import ModelScores, baseline, category, score_judgments
from ropo_bench.sources.prompts import read_prompts
from ropo_bench.types import Measurement

START = "[The Start of Assistant's Answer]\n"


def grade(question: int, turn: int, score: float | None, model: str = "m", **more: Any) -> dict[str, Any]:
    judge = ["gpt-4", "single-v1" if turn == 1 else "single-v1-multi-turn"]
    return {"question_id": question, "model": model, "judge": judge, "score": score, "turn": turn, **more}


def battle(question: int, one: str, other: str, g1: str, g2: str, **more: Any) -> dict[str, Any]:
    row = {"question_id": question, "model_1": one, "model_2": other, "g1_winner": g1, "g2_winner": g2, "turn": 1}
    return {**row, "judge": ["gpt-4", "pair-v2"], **more}


def scored(
    path: Path, rows: list[dict[str, Any]], rule: str = "default", pairwise: bool = False
) -> list[ModelScores]:
    path /= "judgments.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return score_judgments(read_judgments(path, pairwise), rule)


def numbers(scores: ModelScores) -> dict[str, Measurement]:
    return {one.metric: one for one in scores.measurements}


REPEATED = [grade(81, 1, 4), grade(81, 1, 8), grade(81, 2, -1), grade(81, 2, 5), grade(91, 1, 3), grade(91, 2, -1)]


def test_our_rule_counts_an_item_once_as_the_mean_of_its_valid_scores(tmp_path: Path) -> None:
    [found] = scored(tmp_path, REPEATED)
    cells = numbers(found)
    assert (cells["average"].value, cells["average"].n, cells["average"].n_unscored) == (fmean([6, 5, 3]), 3, 1)
    assert cells["turn_1"].value == 4.5
    assert (cells["turn_2"].value, cells["turn_2"].n, cells["turn_2"].n_unscored) == (5, 1, 1)
    assert (cells["category/writing"].value, cells["category/roleplay"].value) == (5.5, 3)
    assert (found.n_duplicates, found.n_repeated, found.n_different) == (2, 2, 2)


def test_fastchats_rule_counts_every_valid_row(tmp_path: Path) -> None:
    [found] = scored(tmp_path, REPEATED, "fastchat")
    cells = numbers(found)
    assert (cells["average"].value, cells["average"].n, cells["average"].n_unscored) == (fmean([4, 8, 5, 3]), 4, 2)
    assert (cells["turn_1"].value, cells["turn_2"].value) == (5, 5)
    assert found.n_duplicates == 2


def test_the_standard_error_is_over_questions(tmp_path: Path) -> None:
    [found] = scored(tmp_path, [grade(81, 1, 4), grade(81, 2, 6), grade(82, 1, 8), grade(82, 2, 10)])
    assert numbers(found)["average"].standard_error == pytest.approx(2.0)  # of the cluster means 5 and 9


def test_an_item_with_only_minus_one_has_no_score(tmp_path: Path) -> None:
    [found] = scored(tmp_path, [grade(81, 1, -1), grade(81, 1, None)])
    assert numbers(found)["average"] == Measurement("mt-bench", "average", None, None, 0, 1)


def test_judges_and_models_never_share_a_number(tmp_path: Path) -> None:
    rows = [grade(81, 1, 2), grade(81, 1, 9, "n"), grade(81, 1, 4, judge=["other", "single-v1"])]
    rows.append(grade(81, 1, 6, judge=["gpt-4", "single-ja-v1"]))
    for rule in ("default", "fastchat"):
        found = {(one.model, one.judge): numbers(one)["average"].value for one in scored(tmp_path, rows, rule)}
        assert found == {("n", "gpt-4"): 9, ("m", "gpt-4 (single-ja-v1)"): 6, ("m", "other"): 4, ("m", "gpt-4"): 2}


def test_the_official_templates_are_one_judge(tmp_path: Path) -> None:
    names = ["single-v1", "single-math-v1", "single-v1-multi-turn", "single-math-v1-multi-turn"]
    rows = [grade(81 + i, 1, 5, judge=["gpt-4", name]) for i, name in enumerate(names)]
    assert [one.judge for one in scored(tmp_path, rows)] == ["gpt-4"]


def test_a_grade_for_an_error_text_does_not_count_by_our_rule(tmp_path: Path) -> None:
    errors = [f"{START}$ERROR$\n", "### Assistant A:\nfine\n\n### User:\nmore\n\n### Assistant A:\nERROR\n"]
    rows = [grade(81 + i, 1, 1, user_prompt=text) for i, text in enumerate(errors)]
    rows.append(grade(90, 1, 9, user_prompt=f"{START}ERROR is what it said\n"))
    [ours], [theirs] = scored(tmp_path, rows), scored(tmp_path, rows, "fastchat")
    assert (numbers(ours)["average"].value, numbers(ours)["average"].n_unscored) == (9, 2)
    assert numbers(theirs)["average"].value == pytest.approx(11 / 3)
    assert ours.n_error_answers == theirs.n_error_answers == 2


BATTLES = [
    battle(81, "m", "base", "model_1", "model_1"),
    battle(82, "m", "base", "model_1", "model_2"),
    battle(83, "m", "base", "tie", "tie"),
    battle(84, "m", "base", "model_2", "model_2"),
    battle(85, "m", "base", "model_1", "error"),
]


def test_battles_as_fastchat_counts_them(tmp_path: Path) -> None:
    for rule in ("default", "fastchat"):
        found = {one.model: numbers(one) for one in scored(tmp_path, BATTLES, rule, pairwise=True)}
        shares = {name: found["m"][name].value for name in ("wwr", "win", "tie", "loss")}
        assert shares == {"wwr": 50, "win": 25, "tie": 50, "loss": 25}
        assert (found["m"]["wwr"].n, found["m"]["wwr"].n_unscored) == (4, 1)


def test_repeated_battles_count_once_by_our_rule_whoever_is_named_first(tmp_path: Path) -> None:
    rows = [*BATTLES[:2], battle(81, "base", "m", "model_1", "model_1")]  # lost, what was won before
    ours, theirs = (
        {one.model: one for one in scored(tmp_path, rows, rule, True)} for rule in ("default", "fastchat")
    )
    assert numbers(ours["m"])["wwr"].value == 50
    assert {name: numbers(ours["m"])[name].value for name in ("win", "tie", "loss")} == {
        "win": 25,
        "tie": 50,
        "loss": 25,
    }
    assert ours["m"].n_duplicates == 1
    assert numbers(theirs["m"])["win"].value == pytest.approx(100 / 3)
    assert numbers(ours["m"])["wwr"].value + numbers(ours["base"])["wwr"].value == 100  # type: ignore[operator]


def test_the_baseline_is_the_second_of_every_battle(tmp_path: Path) -> None:
    path = tmp_path / "battles.jsonl"
    more = battle(86, "n", "base", "model_1", "model_1")
    for rows, expected in (([*BATTLES, more], "base"), ([*BATTLES, battle(81, "m", "n", "tie", "tie")], None)):
        path.write_text("\n".join(map(json.dumps, rows)))
        assert baseline(read_judgments(path, pairwise=True)) == expected


def test_a_battle_with_one_winner_for_both_games(tmp_path: Path) -> None:
    rows = [
        {"question_id": 81, "model_1": "m", "model_2": "n", "judge": "human", "winner": w} for w in ("model_1", "tie")
    ]
    rows[1]["question_id"] = 82
    found = {one.model: numbers(one)["wwr"].value for one in scored(tmp_path, rows, pairwise=True)}
    assert found == {"m": 75, "n": 25}


@pytest.mark.usefixtures("assets")
def test_questions_have_the_categories_of_the_benchmark() -> None:
    assert all(category(prompt.id) == prompt.category for prompt in read_prompts("mt-bench"))
    assert [category(question) for question in ("80", "161", "x1", "-5")] == [""] * 4


def test_published_scores_of_all_nine_models_to_1e_9(assets: Path) -> None:
    expected = json.loads((assets / "mt_bench/expected_scores.json").read_text())
    compared = 0
    for source in ("alvarobartt", "don-tpanic"):
        path = assets / f"mt_bench/model_judgment/{source}.gpt-4_single.jsonl.gz"
        for found in score_judgments(read_judgments(path, pairwise=False), "fastchat"):
            wanted, cells = expected[source][found.model], numbers(found)
            for ours, theirs in (("average", "average"), ("turn_1", "turn1"), ("turn_2", "turn2")):
                assert cells[ours].value == pytest.approx(wanted[theirs], abs=1e-9)
            assert (cells["turn_1"].n, cells["turn_2"].n) == (wanted["n1"], wanted["n2"])
            assert (cells["average"].n_unscored, found.n_duplicates) == (wanted["invalid"], wanted["duplicate_rows"])
            compared += 1
    assert compared == 9


def test_the_published_duplicates_are_seen_and_count_once(assets: Path) -> None:
    path = assets / "mt_bench/model_judgment/alvarobartt.gpt-4_single.jsonl.gz"
    [found] = [s for s in score_judgments(read_judgments(path, False), "default") if s.model == "mistral-orpo"]
    assert (found.n_duplicates, found.n_repeated, found.n_different) == (160, 160, 100)
    cells = numbers(found)
    assert (cells["average"].n, cells["average"].n_unscored) == (160, 0)
