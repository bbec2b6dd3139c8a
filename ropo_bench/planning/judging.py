"""What judges are still to be asked: whole tasks where no answers are there to judge, else what is left of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ropo_bench import planning
from ropo_bench.judging.canary_power import num_calls, num_grade_calls
from ropo_bench.planning.inventory import DONE, Step, num_turns
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.request import Request
from ropo_bench.runs.record import SFT
from ropo_bench.scoring import find_judged


def judging(request: Request, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Calls that are still to make: of every task's models, then of the checks of the judges."""
    return [*_tasks(request, steps), *_canaries(request, steps)]


def _tasks(request: Request, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The calls of every judged task, an entry a task; answers that are stored already are not asked for again."""
    entries = []
    for task in request.tasks:
        judge = request.judges.get(task.name)
        if judge is None:
            continue
        open_steps = [s for s in steps if s.stage == "judge" and s.what == task.name and s.state != DONE]
        counted = [s.calls_left for s in open_steps if s.calls_left is not None]
        whole = [s for s in open_steps if s.calls_left is None]
        models = len(whole) - (_is_baseline(task) and any(step.row == SFT for step in whole))
        calls = planning.judge_calls(task, judge, num_turns(task)[1], models, sum(counted))
        left = models + sum(calls > 0 for calls in counted)
        entries.append(_asked_of(task.name, judge, left, calls))
    return entries


def _is_baseline(task: TaskRecipe) -> bool:
    """Whether the SFT model is what the others are compared with, and is not judged itself."""
    scorer = find_judged(task.scorer)
    return task.baseline is None and scorer is not None and scorer.compares


def _canaries(request: Request, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The checks of judges that are still to make."""
    left = {step.what: step.calls_left for step in steps if step.stage == "canaries" and step.state != DONE}
    entries = []
    for task in request.tasks:
        judge = request.judges.get(task.name)
        if judge is not None and task.name in left:
            calls_left, prompts = left[task.name], num_turns(task)[0]
            calls = (
                planning.canary_calls(task, judge, num_calls(prompts), num_grade_calls(prompts))
                if calls_left is None
                else planning.judge_calls(task, judge, 0, 0, calls_left)
            )
            entries.append(_asked_of(f"canaries of {task.name}", judge, None, calls))
    return entries


def _asked_of(what: str, judge: JudgeRecipe, models: int | None, calls: planning.Calls | None) -> dict[str, Any]:
    unknown = dict.fromkeys(("calls", "input_tokens", "output_tokens", "cost_usd"))
    prices = judge.prices.source if judge.prices else None
    about = {"task": what, "judge": judge.name, "kind": judge.kind, "prices": prices, "models": models}
    return about | (asdict(calls) if calls else unknown)
