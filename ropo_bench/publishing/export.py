"""A run's judged answers in the formats of FastChat and alpaca_eval."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ropo_bench.errors import StorageError, UsageError
from ropo_bench.judging.identity import request_key
from ropo_bench.judging.ledger import ANSWERS
from ropo_bench.judging.ledger import read_answers as read_judged
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import SFT
from ropo_bench.scoring import find_scorer
from ropo_bench.scoring.judged import Material
from ropo_bench.sources.prompts import read_answers, read_prompts
from ropo_bench.stages.judges import judge_folder
from ropo_bench.store import Stage
from ropo_bench.types import JudgeAnswer, Score

JUDGMENTS = ("mt-bench", "mt-bench-pairwise")  # written with the judge's own words


EXPORTED = (*JUDGMENTS, "alpaca-eval")


@dataclass(frozen=True, slots=True)
class _Cell:
    """One row on one judged task, read from the store."""

    model: str
    baseline: str
    task: TaskRecipe
    judge: JudgeRecipe
    material: Material
    answers: Mapping[str, JudgeAnswer]
    scores: list[Score]


def export(run: Run, out: Path) -> list[Path]:
    """Write OUT/TASK/...: model_answer and model_judgment (FastChat), annotations and leaderboard (alpaca_eval).

    Returns the files. Raises UsageError where the run has nothing that is judged.
    """
    made_at = datetime.fromisoformat(run.record.provenance["time_utc"]).timestamp()
    written: list[Path] = []
    for task in run.record.request.tasks:
        if task.scorer in EXPORTED:
            cells = list(_cells(run, task))
            write = _alpaca_eval if task.scorer == "alpaca-eval" else _mt_bench
            written += write(out / task.name, cells, made_at)
    if not written:
        raise UsageError(
            f"run {run.name}: no task of {', '.join(EXPORTED)} is scored in it; run one first, with --tasks"
        )
    return written


def _cells(run: Run, task: TaskRecipe) -> Iterator[_Cell]:
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
        answers = {}
        if judge.chats and task.scorer in JUDGMENTS:
            keys = {call.item: request_key(judge, call) for call in find_scorer(task).calls(material, judge)}
            folder = judge_folder(run.store, judge)
            judged = read_judged(folder, set(keys.values()))
            answers = {item: judged[key] for item, key in keys.items() if key in judged}
            _refuse_lost(folder / ANSWERS, stage, scores, keys.keys() - answers.keys())
        seed = f"-seed{row.seed}" if run.record.request.seeds > 1 and row.name != SFT else ""
        yield _Cell(row.name + seed, task.baseline or SFT, task, judge, material, answers, scores)


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


def _mt_bench(folder: Path, cells: list[_Cell], made_at: float) -> Iterator[Path]:
    from ropo_bench.scoring.mt_bench.fastchat import Row, answer_rows, pair_rows, single_rows, write_rows

    judgments: list[Row] = []
    kind = "single"
    for cell in cells:
        path = folder / "model_answer" / f"{cell.model}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, answer_rows(cell.material.completions, cell.model, made_at))
        yield path
        if cell.task.scorer == "mt-bench":
            judgments += single_rows(cell.material, cell.judge, cell.answers, cell.model, made_at)
        elif cell.model != cell.baseline:
            kind = "pair"
            names = (cell.model, cell.baseline)
            judgments += pair_rows(cell.material, cell.judge, cell.answers, names, made_at)
    if cells:
        path = folder / "model_judgment" / f"{cells[0].judge.name}_{kind}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, judgments)
        yield path


def _alpaca_eval(folder: Path, cells: list[_Cell], made_at: float) -> Iterator[Path]:
    from ropo_bench.scoring.alpaca_eval.annotate import to_annotations
    from ropo_bench.scoring.alpaca_eval.leaderboard import write_annotations, write_leaderboard
    from ropo_bench.scoring.alpaca_eval.win_rates import leaderboard_row, measure_annotations

    rows = []
    for cell in cells:
        annotations = to_annotations(
            cell.material, cell.scores, generator=cell.model, baseline=cell.baseline, annotator=cell.judge.name
        )
        path = folder / cell.model / "annotations.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_annotations(path, annotations)
        yield path
        rows += [leaderboard_row(row) for row in measure_annotations(annotations)]
    if rows:
        write_leaderboard(folder / "leaderboard.csv", rows)
        yield folder / "leaderboard.csv"
