"""The door for a gold judge: a function that grades answers exactly, named in the task's options.

    options: {grader: "my_package.my_module:grade_turns"}

grade_turns(prompt, turns) gives one grade (1..10) for each answer in turns; prompt.metadata is what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ropo_bench.errors import UsageError
from ropo_bench.recipes.objects import resolve_object
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.types import Completion, Prompt

Grader = Callable[[Prompt, Sequence[str]], Sequence[float]]
ByKey = Mapping[tuple[str, int], Completion]


def find_grader(task: TaskRecipe) -> Grader:
    """The task's gold judge; raises UsageError where the task names none or a wrong one."""
    name = task.options.get("grader")
    if not isinstance(name, str):
        raise UsageError(
            f"task {task.name}: scorer {task.scorer!r} wants options.grader, given {name!r};"
            ' name a function of (prompt, turns) as "module:object"'
        )
    grader: Grader = resolve_object(name, {}, "grader")
    return grader


def by_key(completions: Sequence[Completion]) -> ByKey:
    """Completions under (prompt id, sample)."""
    return {(completion.prompt_id, completion.sample): completion for completion in completions}


def expected_answers(prompts: Sequence[Prompt], task: TaskRecipe) -> Iterator[tuple[Prompt, int]]:
    """Every (prompt, sample) that the task asks for, there or not."""
    num_samples = task.decoding.num_samples if task.decoding else 1
    for prompt in prompts:
        for sample in range(num_samples):
            yield prompt, sample


def sample_name(name: str, sample: int) -> str:
    """An item's name, with the number of the sample where it is not the first."""
    return f"{name}#{sample}" if sample else name
