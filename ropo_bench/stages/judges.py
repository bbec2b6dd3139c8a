"""Asking a judge: which folder keeps its answers, which server is up, and what a task makes of the answers."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropo_bench.errors import UsageError
from ropo_bench.judging.identity import judge_identity, request_key
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.objects import resolve_object
from ropo_bench.scoring.arena import preference
from ropo_bench.sources.assets import entries
from ropo_bench.sources.models import model_folder
from ropo_bench.store import Store, content_key
from ropo_bench.store.source import code_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropo_bench.judging.canaries import CanaryResult, Question
    from ropo_bench.judging.ledger import Budget, Tally
    from ropo_bench.judging.runtime import Outcome
    from ropo_bench.recipes.task import TaskRecipe
    from ropo_bench.scoring.judged import Grader, JudgedScorer, Material
    from ropo_bench.terminal.progress import Progress
    from ropo_bench.types import JudgeCall, Score

VERSION = 1
"""Of the grades that the project's own functions give."""


def judge_key(store: Store, judge: JudgeRecipe) -> str:
    """The key of everything a judge ever answered: two judges share it only where they are the same judge."""
    inputs: dict[str, Any] = {"identity": judge_identity(judge)}
    if judge.is_local:
        inputs["weights"] = store.folder_hash(model_folder(judge.model))
    if judge.kind == "function":
        inputs["code"] = code_of(VERSION, judge.model.partition(":")[0])
    return content_key("judge", inputs)


def judging_key(store: Store, judge: JudgeRecipe) -> str:
    """A judge, and the registered files, among which are the prompts that it is asked with."""
    registered: dict[str, Any] = {entry.name: entry.sha256 for entry in entries()}
    return content_key("judging", {"judge": judge_key(store, judge), "assets": registered})


def judge_folder(store: Store, judge: JudgeRecipe) -> Path:
    """Where a judge's answers and its ledger lie, shared by all runs of a store."""
    return store.root / "cache" / "judge" / judge_key(store, judge)


def num_unanswered(store: Store, judge: JudgeRecipe, calls: Sequence[JudgeCall]) -> int:
    """How many different requests these calls would send."""
    from ropo_bench.judging.ledger import read_answers

    keys = {request_key(judge, call) for call in calls}
    return len(keys - read_answers(judge_folder(store, judge), keys).keys())


class JudgeRoom:
    """The judges of one command: their budget, and the local server that is up, one at most."""

    def __init__(self, store: Store, progress: Progress, budget: Budget | None) -> None:
        self.store, self.progress, self._budget = store, progress, budget
        self._alive = ExitStack()
        self._serving: tuple[str, str] | None = None

    def close(self) -> None:
        """Stop the local server, if one is up; at once, if an interrupt is what ends its use."""
        self._alive.__exit__(*sys.exc_info())
        self._serving = None

    def preflight(self, scorer: JudgedScorer, task: TaskRecipe, judge: JudgeRecipe) -> None:
        """Raise UsageError for what asking would stumble over: no key, no prices for a budget, no such question."""
        if not judge.chats:
            if scorer.compare is None:
                raise UsageError(
                    f"task {task.name}: judge {judge.name} ({judge.kind}) compares answers and gives no grade of 1 to"
                    " 10; take a judge that is asked in words, or leave the task out with --tasks"
                )
            return
        from ropo_bench.judging.client import check_access
        from ropo_bench.judging.identity import base_url
        from ropo_bench.judging.runtime import check_prices

        if self._budget is not None:
            check_prices(judge, self._budget)
        endpoint = base_url(judge)
        if endpoint is not None:
            try:
                check_access(judge, endpoint)
            except UsageError as error:
                raise UsageError(
                    f"task {task.name}: {error}; or choose another judge with --judge, or leave the task out with"
                    " --tasks"
                ) from None

    def judge(
        self, scorer: JudgedScorer, material: Material, judge: JudgeRecipe, label: str
    ) -> tuple[list[Score], dict[str, Any]]:
        """Scores of a judged task, and what is recorded of the judging."""
        record: dict[str, Any] = {"judge": judge.name, "judge_key": judge_key(self.store, judge)}
        if not judge.chats:
            assert scorer.compare is not None  # see preflight
            return scorer.compare(material, self._grader(judge)), record
        outcome = self.ask(judge, scorer.calls(material, judge), label)
        return scorer.score(material, judge, outcome.answers), record | {"tally": asdict(outcome.tally)}

    def canaries(
        self, scorer: JudgedScorer, material: Material, judge: JudgeRecipe
    ) -> tuple[list[CanaryResult], Tally | None]:
        """What is known of a judge's biases in this task, and what asking took.

        Nothing where the protocol cannot be probed.
        """
        from ropo_bench.judging import canaries

        probe, task = scorer.probe, material.task
        items = canaries.canary_items(material.prompts, material.baseline)
        if probe is None or not (judge.chats or scorer.compare):
            return [], None
        if not judge.chats:
            grader = self._grader(judge)
            return canaries.judge_canaries(items, lambda q: _prefer_by_grade(grader, q)), None
        label = f"canaries of {task.name}"
        if probe.num_answers == 2:
            calls = canaries.canary_calls(items, lambda prompt, a, b: probe.ask(task, judge, prompt, (a, b)))
            outcome = self.ask(judge, calls, label)
            results = canaries.evaluate_canaries(
                items, outcome.answers, lambda answer: probe.read(task, judge, answer)
            )
            return results, outcome.tally
        calls = canaries.grade_canary_calls(items, lambda prompt, a: probe.ask(task, judge, prompt, (a,)))
        outcome = self.ask(judge, calls, label)
        results = canaries.evaluate_grade_canaries(
            items, outcome.answers, lambda answer: probe.read(task, judge, answer)
        )
        return results, outcome.tally

    def ask(self, judge: JudgeRecipe, calls: Sequence[JudgeCall], label: str) -> Outcome:
        """Every call answered, from disk or by the judge; raises BudgetReached."""
        from ropo_bench.judging.ledger import Budget, spent_usd
        from ropo_bench.judging.runtime import answer_calls

        folder = judge_folder(self.store, judge)
        self._budget = self._budget or Budget()
        endpoint = None
        if judge.kind == "vllm-serve" and num_unanswered(self.store, judge, calls):
            endpoint = self._serve(judge, folder)
        with self.progress.stage("judge", f"{label} by {judge.name}", total=len(calls), unit="calls") as bar:

            def report(tally: Tally) -> None:
                bar.update(tally.cached + tally.answered)

            outcome = answer_calls(
                judge, calls, folder, self._budget, endpoint=endpoint, report=report, waiting=self.progress.note
            )
        if judge.prices:  # of all commands: what was paid before a retry was paid for these numbers too
            outcome.tally.cost_usd = spent_usd(folder, {request_key(judge, call) for call in calls})
        for name, count in outcome.tally.other_models.items():
            self.progress.note(
                f"judge {judge.name}: {count} of {len(outcome.answers)} answers are by {name!r}, asked was"
                f" {judge.model!r} (--strict-model refuses them)"
            )
        return outcome

    def _serve(self, judge: JudgeRecipe, folder: Path) -> str:
        from ropo_bench.judging.local import serve

        key = judge_key(self.store, judge)
        if self._serving is None or self._serving[0] != key:
            self.close()
            self.progress.note(f"judge {judge.name}: starting a server for {judge.model}")
            self._serving = key, self._alive.enter_context(serve(judge, folder))
        return self._serving[1]

    def _grader(self, judge: JudgeRecipe) -> Grader:
        if judge.kind == "function":
            grader: Grader = resolve_object(judge.model, {}, "judge")
            return grader
        from ropo_bench.judging.reward import RewardGrader

        return RewardGrader(model_folder(judge.model))


def _prefer_by_grade(grader: Grader, question: Question) -> float | None:
    """A grader's preference for the answer shown first; None where one of its grades is no number."""
    first, second = (grader(question.prompt, (text,))[0] for text in (question.first, question.second))
    return preference(first, second, 0.0)
