"""A run's judged answers in the formats of FastChat and alpaca_eval."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from ropo_bench.errors import StorageError, UsageError
from ropo_bench.judging.identity import request_key
from ropo_bench.judging.ledger import ANSWERS
from ropo_bench.judging.ledger import read_answers as read_judged
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.objects import resolve_object
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import SFT
from ropo_bench.scoring import SCORERS, find_judged
from ropo_bench.scoring.judged import Export, JudgedRow, JudgedScorer, Material
from ropo_bench.sources.prompts import read_answers, read_prompts
from ropo_bench.stages.judges import judge_folder
from ropo_bench.store import Stage
from ropo_bench.types import JudgeAnswer, JudgeCall, Score


def export(run: Run, out: Path) -> list[Path]:
    """Write OUT/TASK/...: model_answer and model_judgment (FastChat), annotations and leaderboard (alpaca_eval).

    Returns the files. Raises UsageError where the run has nothing that is judged.
    """
    made_at = datetime.fromisoformat(run.record.provenance["time_utc"]).timestamp()
    written: list[Path] = []
    for task in run.record.request.tasks:
        scorer = find_judged(task.scorer) if task.name in run.record.request.judges else None
        if scorer is not None and scorer.export is not None:
            write: Export = resolve_object(scorer.export, {}, "export")
            written += write(out / task.name, list(_rows(run, task, scorer)), made_at)
    if not written:
        names = ", ".join(name for name in SCORERS if (judged := find_judged(name)) and judged.export)
        raise UsageError(f"run {run.name}: no task of {names} is scored in it; run one first, with --tasks")
    return written


def _rows(run: Run, task: TaskRecipe, scorer: JudgedScorer) -> Iterator[JudgedRow]:
    """Every row that is scored on a task, read from the store."""
    assert task.prompts is not None
    prompts = read_prompts(task.prompts)
    judge = run.record.request.judges[task.name]
    opponents = [] if task.baseline is not None else run.completion_stages(SFT, task.name)
    for row in run.record.rows:
        stage, answered = run.score_stage(row, task.name), run.completion_stage(row, task.name)
        if stage is None or answered is None:
            continue
        if task.baseline is not None:
            baseline = read_answers(task.baseline, prompts)
        else:
            baseline = run.read_completions(opponents[0])
        material = Material(task, prompts, run.read_completions(answered), baseline)
        scores = run.read_scores(stage)
        seed = f"-seed{row.seed}" if run.record.request.seeds > 1 and row.name != SFT else ""
        calls = scorer.calls(material, judge) if judge.chats else []
        read_judgments = partial(_read_judgments, run, judge, calls, stage, scores)
        yield JudgedRow(row.name + seed, task.baseline or SFT, material, judge, scores, read_judgments)


def _read_judgments(
    run: Run, judge: JudgeRecipe, calls: Sequence[JudgeCall], stage: Stage, scores: Sequence[Score]
) -> dict[str, JudgeAnswer]:
    """The judge's answers to the calls by item, {} without words; raises StorageError where one is lost."""
    if not judge.chats:
        return {}
    keys = {call.item: request_key(judge, call) for call in calls}
    folder = judge_folder(run.store, judge)
    judged = read_judged(folder, set(keys.values()))
    answers = {item: judged[key] for item, key in keys.items() if key in judged}
    _refuse_lost(folder / ANSWERS, stage, scores, keys.keys() - answers.keys())
    return answers


def _refuse_lost(path: Path, stage: Stage, scores: Sequence[Score], unanswered: Collection[str]) -> None:
    """Raise StorageError where an item was scored by an answer that is not in the judge's file any more.

    unanswered: the questions, by "ITEM" or "ITEM:ORDER", that the file has no answer to.
    """
    scored = {score.item for score in scores if score.status != "infrastructure-failed"}
    lost = sorted(item for item in unanswered if item in scored or item.rpartition(":")[0] in scored)
    if lost:
        raise StorageError(
            f"{path}: {len(lost)} answers that were scored are damaged or gone ({lost[0]}); delete the folder "
            f"{stage.path} and repeat the command (run, eval, nightly): it asks the judge for those alone"
        )
