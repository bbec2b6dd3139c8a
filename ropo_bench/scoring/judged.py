"""What a task that needs a judge brings: what to ask, and what the answers mean. Asking is not its business."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.types import Completion, JudgeAnswer, JudgeCall, Prompt, Score

Grader: TypeAlias = Callable[[Prompt, Sequence[str]], Sequence[float]]
"""(prompt, answers to its turns) -> one grade an answer, on the grader's own scale; higher is better."""


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that is judged: the prompts, a model's completions and the baseline's."""

    task: TaskRecipe
    prompts: Sequence[Prompt]
    completions: Sequence[Completion]
    baseline: Sequence[Completion]


@dataclass(frozen=True, slots=True)
class Probe:
    """A protocol's question about first-turn answers alone, for canaries.

    num_answers: 1, of which the answer is a grade; 2, of which it is the preference for the first shown, 0..1.
    ask: the call, whose item the caller sets. read: the grade or preference in an answer, or None.
    """

    num_answers: Literal[1, 2]
    ask: Callable[[TaskRecipe, JudgeRecipe, Prompt, Sequence[str]], JudgeCall]
    read: Callable[[TaskRecipe, JudgeRecipe, JudgeAnswer], float | None]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a judge is asked, for plans: questions a turn, mean characters of a question and of its answer."""

    calls_per_turn: int
    input_characters: int
    output_characters: int


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """A row of a run on a judged task, for export in the field's own format.

    model, baseline: their names in it. read_answers: the judge's words by item, {} where the judge has none; raises
    StorageError where one that was scored is lost.
    """

    model: str
    baseline: str
    material: Material
    judge: JudgeRecipe
    scores: Sequence[Score]
    read_answers: Callable[[], Mapping[str, JudgeAnswer]]


Export: TypeAlias = Callable[[Path, Sequence[JudgedRow], float], Iterator[Path]]
"""(folder, rows, when the run was made in seconds since 1970) -> the files that it writes."""


@dataclass(frozen=True, slots=True)
class JudgedScorer:
    """A judged task as pure functions, and what is known of it before anything is asked.

    calls: all questions to a judge in words, each under an item of its own, asked in this order.
    score: scores from the answers by item; an item without an answer was never received and is
    infrastructure-failed, an answer that says no verdict is unparsable.
    compare: scores from a grader (a reward model, an exact function); None where grades are no verdict here.
    probe: how canaries are asked; None where the judge cannot be checked. protocol: None where a plan cannot tell.
    question_files, score_files: registered files that questions are made of, and that scoring reads, by their names'
    beginnings. export: an Export, as "module:object"; None where the task has no format of its own.
    """

    calls: Callable[[Material, JudgeRecipe], list[JudgeCall]]
    score: Callable[[Material, JudgeRecipe, Mapping[str, JudgeAnswer]], list[Score]]
    compare: Callable[[Material, Grader], list[Score]] | None = None
    probe: Probe | None = None
    protocol: Protocol | None = None
    question_files: tuple[str, ...] = ()
    score_files: tuple[str, ...] = ()
    export: str | None = None

    @property
    def compares(self) -> bool:
        """Whether a question shows two answers, so that a baseline model itself is not judged."""
        return self.probe is not None and self.probe.num_answers == 2
