"""MT-Bench with second turns that no grade could be read of: the table prints FastChat's mean, over graded turns."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import fmean

import pytest

from ropo_bench.recipes.load import load_task
from ropo_bench.scoring.mt_bench.fastchat import Judgment
from ropo_bench.scoring.mt_bench.judgments import score_judgments
from ropo_bench.statistics.cells import measure
from ropo_bench.statistics.estimators import mean
from ropo_bench.types import Score

GRADES = {"81": (8.0, 2.0), "82": (9.0, None), "83": (7.0, 3.0), "84": (10.0, None)}


def scores(grades: dict[str, tuple[float | None, ...]]) -> list[Score]:
    return [
        Score(f"{question}:{turn}", question, metric, grade, "scored" if grade is not None else "unparsable")
        for question, turns in grades.items()
        for turn, grade in enumerate(turns, 1)
        for metric in ("score_corrected", f"score_corrected_turn_{turn}")
    ]


def test_worked_example() -> None:
    # Turns: (8 + 2 + 9 + 7 + 3 + 10) / 6 = 6.5; questions' means 5, 9, 5, 10: 7.25.
    whole, first, second = measure("mt-bench", load_task("mt-bench").columns, [scores(GRADES)])
    assert (whole.value, first.value, second.value) == pytest.approx((6.5, 8.5, 2.5))
    assert (whole.n, whole.n_unscored) == (6, 2)
    graded = [one for one in scores(GRADES) if one.metric == "score_corrected" and one.value is not None]
    assert mean([graded]).value == pytest.approx(7.25)


@pytest.mark.parametrize("name", ["mt-bench", "mt-bench-original", "mt-bench-pairwise"])
def test_every_column_counts_turns(name: str) -> None:
    assert {column.estimator for column in load_task(name).columns} == {"ratio"}


def test_published_judgments_with_thirty_second_turns_unread() -> None:
    """The table, and `score mt-bench` under both rules, are the mean over what has a grade."""
    mirror = os.environ.get("ROPO_BENCH_ASSETS")
    if not mirror:
        pytest.skip("ROPO_BENCH_ASSETS is not set")
    from ropo_bench.scoring.mt_bench.fastchat import read_judgments

    path = Path(mirror, "mt_bench/model_judgment/alvarobartt.gpt-4_single.jsonl.gz")
    judged = [one for one in read_judgments(path, False) if one.model == "mistral-orpo-trl"]
    grades: dict[str, list[float | None]] = {}
    for one in sorted(judged, key=lambda one: (one.question, one.turn)):
        grades.setdefault(one.question, []).append(None if _hidden(one) else one.value)
    known = [grade for turns in grades.values() for grade in turns if grade is not None]
    assert len(known) == 130
    given = scores({question: tuple(turns) for question, turns in grades.items()})
    [whole, *_] = measure("mt-bench", load_task("mt-bench").columns, [given])
    assert whole.value == pytest.approx(fmean(known))
    left = [one for one in judged if not _hidden(one)]
    for rule in ("default", "fastchat"):
        [average, *_] = score_judgments(left, rule)[0].measurements
        assert average.value == pytest.approx(whole.value)
        assert average.standard_error == pytest.approx(whole.standard_error)


def _hidden(judgment: Judgment) -> bool:
    return judgment.turn == 2 and 81 <= int(judgment.question) <= 110
