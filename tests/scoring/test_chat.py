"""Graded chat: every turn an item of its prompt."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.recipes.objects import resolve_object
from ropo_bench.recipes.task import Column, Decoding, TaskRecipe
from ropo_bench.scoring import ESTIMATORS, SCORERS, find_judged, find_scorer
from ropo_bench.scoring.chat import score
from ropo_bench.scoring.judged import JudgedScorer
from ropo_bench.sources.assets import entries
from ropo_bench.statistics.cells import measure
from ropo_bench.types import Completion, Prompt

PROMPTS = [Prompt("a", ("hi", "more"), "writing"), Prompt("b", ("hi", "more"), "maths")]


def count_words(prompt: Prompt, turns: Sequence[str]) -> list[float]:
    return [float(len(turn.split())) for turn in turns]


def recipe(**options: object) -> TaskRecipe:
    return TaskRecipe(
        name="chat",
        description="a test",
        prompts="x.jsonl",
        decoding=Decoding(max_new_tokens=8),
        scorer="graded-chat",
        options=dict(options),
        columns=[Column(metric="score", header="score")],
    )


GRADER = f"{__name__}:count_words"
DONE = [Completion("a", 0, ("one two", "one two three four"), (2, 4)), Completion("b", 0, ("one", ""), (1, 0))]


def by_metric(metric: str) -> dict[str, float | None]:
    scores = score(recipe(grader=GRADER), PROMPTS, DONE)
    return {one.item: one.value for one in scores if one.metric == metric}


def test_every_turn_is_an_item_of_its_prompt() -> None:
    assert by_metric("score") == {"a:1": 2, "a:2": 4, "b:1": 1, "b:2": 0}
    assert by_metric("score_turn_1") == {"a:1": 2, "b:1": 1}
    assert by_metric("score_turn_2") == {"a:2": 4, "b:2": 0}
    assert by_metric("score/maths") == {"b:1": 1, "b:2": 0}
    scores = score(recipe(grader=GRADER), PROMPTS, DONE)
    assert {one.item[0] for one in scores} == {one.cluster for one in scores}


def test_missing_answer_is_unscored_and_counted() -> None:
    scores = score(recipe(grader=GRADER), PROMPTS, DONE[:1])
    [cell] = measure("chat", [Column(metric="score", header="score")], [scores])
    assert (cell.value, cell.n, cell.n_unscored) == (3.0, 2, 2)
    assert {one.status for one in scores if one.cluster == "b"} == {"infrastructure-failed"}


def test_samples_are_items_of_the_same_prompt() -> None:
    task = recipe(grader=GRADER)
    task = task.model_copy(update={"decoding": Decoding(max_new_tokens=8, num_samples=2)})
    done = [Completion("a", sample, ("w " * sample, "w"), (0, 1)) for sample in range(2)]
    scores = score(task, PROMPTS[:1], done)
    assert [one.item for one in scores if one.metric == "score"] == ["a:1", "a:2", "a:1#1", "a:2#1"]


def test_a_task_without_a_grader_says_so() -> None:
    with pytest.raises(UsageError, match=r"options\.grader"):
        score(recipe(), PROMPTS, DONE)
    with pytest.raises(UsageError, match="cannot import no_such_module"):
        score(recipe(grader="no_such_module:grade"), PROMPTS, DONE)


def test_tables_name_functions_and_judged_scorers() -> None:
    for name in SCORERS:
        scorer = find_scorer(name)
        assert callable(scorer) or isinstance(scorer, JudgedScorer)
    for name in ESTIMATORS:
        assert callable(resolve_object(name, ESTIMATORS))


@pytest.mark.parametrize("name", SCORERS)
def test_what_a_scorer_names_is_there(name: str) -> None:
    entry, judged = SCORERS[name], find_judged(name)
    for code in (entry.data, judged and judged.export):
        assert code is None or callable(resolve_object(code, {}))
    files = () if judged is None else (*judged.question_files, *judged.score_files)
    registered = [asset.name for asset in entries()]
    assert all(any(asset.startswith(file) for asset in registered) for file in files)
