"""The items of MT-Bench: every turn of every conversation, with what there is to judge or why there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.gold import by_key, expected_answers, sample_name
from ropo_bench.types import Completion, Prompt

ERROR_TEXTS = frozenset({"$ERROR$", "ERROR"})
"""What FastChat's generators write in place of an answer that an endpoint or a GPU did not give."""
NO_ANSWER = "no answer"
ERROR_ANSWER = "the answer is an error text"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn (number from 1) of one conversation; answers: those up to this turn.

    problem: why it cannot be judged, None where it can.
    """

    prompt: Prompt
    sample: int
    number: int
    answers: tuple[str, ...]
    truncated: bool
    problem: str | None

    @property
    def item(self) -> str:
        """The item's name: "81:1", "81:1#2" for sample 2."""
        return sample_name(f"{self.prompt.id}:{self.number}", self.sample)

    @property
    def detail(self) -> dict[str, Any]:
        """What a reader of its score should know."""
        detail: dict[str, Any] = {"turn": self.number, "category": self.prompt.category}
        if self.truncated:
            detail["truncated"] = True
        return detail if self.problem is None else {**detail, "problem": self.problem}


def find_turns(task: TaskRecipe, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Turn]:
    """Every turn that the task asks for, answered or not, in the order of the prompts.

    An error text spoils its own turn and the later ones. Raises UsageError for conversations of more than two turns.
    """
    completion_by_key = by_key(completions)
    turns = []
    for prompt, sample in expected_answers(prompts, task):
        if len(prompt.turns) > 2:
            raise UsageError(
                f"task {task.name}, prompt {prompt.id}: has {len(prompt.turns)} turns; MT-Bench judges one or two"
            )
        completion = completion_by_key.get((prompt.id, sample))
        all_answers = completion.turns if completion else ()
        for number in range(1, len(prompt.turns) + 1):
            answers = all_answers[:number]
            problem = None
            if len(answers) < number:
                problem = NO_ANSWER
            elif any(answer.strip() in ERROR_TEXTS for answer in answers):
                problem = ERROR_ANSWER
            truncated = completion is not None and completion.truncated
            turns.append(Turn(prompt, sample, number, answers, truncated, problem))
    return turns
