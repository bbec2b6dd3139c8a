"""NaN is never a score: not from a grader, not from a reward model, not from a file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from ropo_bench.errors import StorageError
from ropo_bench.judging.canaries import Question
from ropo_bench.recipes.load import load_task
from ropo_bench.runs.items import read_scores, write_scores
from ropo_bench.scoring import arena, chat
from ropo_bench.scoring.alpaca_eval.annotate import ALPACA_EVAL
from ropo_bench.scoring.judged import Material
from ropo_bench.scoring.mt_bench.pairwise import PAIRWISE
from ropo_bench.stages.judges import _prefer_by_grade
from ropo_bench.store import Store
from ropo_bench.types import Completion, Prompt, Score
from tests.scoring.mt_bench.mt_examples import material

NONE = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("grade", NONE)
def test_a_grade_that_is_no_number_decides_no_battle(grade: float) -> None:
    assert arena.preference(grade, 1.0, 0.0) is None
    assert arena.preference(1.0, grade, 0.5) is None
    answer = Completion("p", 0, ("a",), (1,))
    scores = {s.metric: s for s in arena.battle_scores("p", 0, answer, answer, None, None)}
    assert (scores["win_rate"].value, scores["win_rate"].status) == (None, "unparsable")
    assert {s.status for s in chat.turn_scores(Prompt("p", ("q",)), 1, 0, grade)} == {"unparsable"}


@pytest.mark.parametrize("grade", NONE)
def test_a_grader_of_judged_tasks_is_no_better(grade: float) -> None:
    prompt = Prompt("0", ("Which?",))
    task = load_task("alpaca-eval-2")
    task = task.model_copy(update={"options": {}})
    battle = Material(task, [prompt], [Completion("0", 0, ("red",), (1,))], [Completion("0", 0, ("blue",), (1,))])
    assert ALPACA_EVAL.compare is not None
    assert PAIRWISE.compare is not None

    def grader(prompt: Prompt, turns: object) -> list[float]:
        return [grade] * len(list(turns))  # type: ignore[call-overload]

    judged = [score for score in ALPACA_EVAL.compare(battle, grader) if score.metric != "average_length"]
    assert {(score.value, score.status) for score in judged} == {(None, "unparsable")}
    turns = PAIRWISE.compare(material("mt-bench-pairwise"), grader)
    assert {(score.value, score.status) for score in turns} == {(None, "unparsable")}
    json.dumps([dict(score.detail) for score in turns], allow_nan=False)
    assert _prefer_by_grade(grader, Question("swap", "ab", prompt, "one", "two")) is None


@pytest.mark.parametrize("value", NONE)
def test_what_a_scorer_gives_is_a_score_or_unparsable(tmp_path: Path, value: float) -> None:
    stage = Store(tmp_path).stage("scores", "k")
    with stage.begin():
        write_scores(stage, [Score("i", "i", "m", value), Score("j", "j", "m", 1.0)])
        stage.finish({})
    read = {score.item: score for score in read_scores(stage)}
    assert (read["i"].value, read["i"].status) == (None, "unparsable")
    assert "the scorer gave" in read["i"].detail["problem"]
    assert read["j"].value == 1.0


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_file_that_holds_one_is_refused_with_the_mend(tmp_path: Path, value: str) -> None:
    stage = Store(tmp_path).stage("scores", "k")
    line = '{"item": "i", "cluster": "i", "metric": "win_rate", "value": %s, "status": "scored", "detail": {}}\n'
    with stage.begin():
        (stage.path / "scores.jsonl").write_text(line % "50.0" + line % value)
        stage.finish({})
    with pytest.raises(
        StorageError, match=r"scores\.jsonl, line 2: win_rate of item i is -?(nan|inf).*delete the folder"
    ):
        read_scores(stage)
