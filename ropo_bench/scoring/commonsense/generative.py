"""The eight commonsense tasks in the generative prompt form of LLM-Adapters (arXiv 2304.01933, appendix A.2).

The question names its own answers ("answer1", "true"), the model writes, and the first name in its text counts.
LLM-Adapters puts the question into an Alpaca frame and searches with four beams at temperature 0.1; here it is one
user turn of the model's own chat template and greedy, so figures compare between our rows, not with that paper's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.gold import by_key, expected_answers, sample_name
from ropo_bench.sources import assets
from ropo_bench.types import Completion, Prompt, Score, Status

PROMPTS = "llm-adapters"
_FORM = "commonsense/llm_adapters_format/{}.test.json"
FILES: Mapping[str, str] = {
    "boolq": _FORM.format("boolq"),
    "piqa": _FORM.format("piqa"),
    "social_iqa": _FORM.format("social_i_qa"),
    # LLM-Adapters' own file is in no mirror: its form is made of the rows that lm-eval reads, without wiki markup.
    "hellaswag": "commonsense/hellaswag/validation_0000_1999.jsonl",
    "winogrande": _FORM.format("winogrande"),
    "arc_easy": _FORM.format("ARC-Easy"),
    "arc_challenge": _FORM.format("ARC-Challenge"),
    "openbookqa": _FORM.format("openbookqa"),
}
_ANSWERS = {
    "boolq": ("true", "false"),
    "piqa": ("solution1", "solution2"),
    "hellaswag": ("ending1", "ending2", "ending3", "ending4"),
    "winogrande": ("option1", "option2"),
}
_ANSWERS_OF_QUESTIONS = ("answer1", "answer2", "answer3", "answer4", "answer5")


def prompts() -> list[Prompt]:
    """All prompts: id "TASK:ROW", category TASK, metadata {"answer": name}; raises UsageError without the assets."""
    return [
        Prompt(f"{task}:{row}", (item["instruction"],), task, {"answer": item["answer"]})
        for task, name in FILES.items()
        for row, item in enumerate(_items(task, name))
    ]


def prompts_key() -> dict[str, str]:
    """Hashes of the files behind `prompts`, for content keys; they need not be here."""
    return {name: assets.sha256(name) for name in FILES.values()}


def score(
    task: TaskRecipe,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    baseline: Sequence[Completion] | None = None,
) -> list[Score]:
    """`accuracy/TASK` (0 or 100) and `accuracy`, every item again with its task in detail, for macro_mean.

    A text that names no answer is unparsable, one that was never received infrastructure-failed; neither is a 0.
    `accuracy_llm_adapters` is `accuracy` by LLM-Adapters' rule, under which an unparsable text is a wrong answer.
    detail of accuracy/TASK: prediction and target, as names.
    """
    found = by_key(completions)
    return [
        one
        for prompt, sample in expected_answers(prompts, task)
        for one in _item_scores(prompt, sample, found.get((prompt.id, sample)))
    ]


def read_answer(task: str, text: str) -> str | None:
    """The first answer that the text names, letter case as given; None where there is none.

    As in LLM-Adapters' evaluation: anywhere in the text, also inside a longer word.
    """
    names = _ANSWERS.get(task, _ANSWERS_OF_QUESTIONS)
    match = re.search("|".join(map(re.escape, names)), text)
    return match[0] if match else None


def _item_scores(prompt: Prompt, sample: int, completion: Completion | None) -> Iterator[Score]:
    task, target = prompt.category, str(prompt.metadata["answer"])
    prediction = read_answer(task, completion.turns[0]) if completion else None
    status: Status = "scored" if prediction else "unparsable" if completion else "infrastructure-failed"
    value = None if prediction is None else 100.0 * (prediction == target)
    item = sample_name(prompt.id, sample)
    yield Score(item, prompt.id, "accuracy", value, status, {"task": task})
    by_their_rule = (0.0, "scored") if status == "unparsable" else (value, status)
    yield Score(item, prompt.id, "accuracy_llm_adapters", *by_their_rule, {"task": task})
    yield Score(item, prompt.id, f"accuracy/{task}", value, status, {"prediction": prediction, "target": target})


def _items(task: str, name: str) -> Sequence[Mapping[str, Any]]:
    if task != "hellaswag":
        items: Sequence[Mapping[str, Any]] = assets.read_json(name)
        return items
    return [
        {"instruction": ending_question(row), "answer": f"ending{int(row['label']) + 1}"}
        for row in assets.read_jsonl(name)
    ]


def ending_question(row: Mapping[str, Any]) -> str:
    """A HellaSwag row (activity_label, ctx_a, ctx_b, endings) in LLM-Adapters' form."""
    endings = " ".join(f"Ending{i}: {ending}" for i, ending in enumerate(row["endings"], 1))
    return (
        "Please choose the correct ending to complete the given sentence:"
        f" {row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}\n\n{endings}\n\n"
        "Answer format: ending1/ending2/ending3/ending4"
    )
