"""A run's MT-Bench answers and judgments as FastChat's own files; fastchat.py reads such files."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.scoring.judged import JudgedRow, Material
from ropo_bench.scoring.mt_bench.pairwise import ORDERS, battle_calls, pairs
from ropo_bench.scoring.mt_bench.single import grading_calls
from ropo_bench.scoring.mt_bench.templates import template_name
from ropo_bench.scoring.mt_bench.turns import find_turns
from ropo_bench.scoring.mt_bench.verdicts import read_rating, read_side, verdict_rule
from ropo_bench.store import atomic_file
from ropo_bench.types import Completion, JudgeAnswer

Row = dict[str, Any]
_WINNERS = ({"A": "model_1", "B": "model_2"}, {"A": "model_2", "B": "model_1"})


def write_single(folder: Path, rows: Sequence[JudgedRow], made_at: float) -> Iterator[Path]:
    """Write the answers of every row, and all their grades with the judge's words; raises StorageError."""
    judgments: list[Row] = []
    for row in rows:
        judgments += single_rows(row.material, row.judge, row.read_answers(), row.model, made_at)
    return _write(folder, rows, "single", judgments, made_at)


def write_pairwise(folder: Path, rows: Sequence[JudgedRow], made_at: float) -> Iterator[Path]:
    """Write the answers of every row, and all battles against the baseline with the judge's words.

    Raises StorageError.
    """
    judgments: list[Row] = []
    for row in rows:
        if row.model != row.baseline:
            names = (row.model, row.baseline)
            judgments += pair_rows(row.material, row.judge, row.read_answers(), names, made_at)
    return _write(folder, rows, "pair", judgments, made_at)


def _write(
    folder: Path, rows: Sequence[JudgedRow], kind: str, judgments: Sequence[Row], made_at: float
) -> Iterator[Path]:
    for row in rows:
        path = folder / "model_answer" / f"{row.model}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, answer_rows(row.material.completions, row.model, made_at))
        yield path
    if rows:
        path = folder / "model_judgment" / f"{rows[0].judge.name}_{kind}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, judgments)
        yield path


def answer_rows(completions: Sequence[Completion], model: str, made_at: float) -> Iterator[Row]:
    """Rows of `model_answer/MODEL.jsonl`, one a prompt, its samples as choices; made_at: seconds since 1970."""
    ordered = sorted(completions, key=lambda completion: (_question(completion.prompt_id), completion.sample))
    for prompt_id, group in groupby(ordered, key=lambda completion: completion.prompt_id):
        choices = [{"index": answer.sample, "turns": list(answer.turns)} for answer in group]
        yield {
            "question_id": _id(prompt_id),
            "answer_id": hashlib.sha256(json.dumps([model, prompt_id, choices]).encode()).hexdigest()[:22],
            "model_id": model,
            "choices": choices,
            "tstamp": made_at,
        }


def single_rows(
    material: Material, judge: JudgeRecipe, answers: Mapping[str, JudgeAnswer], model: str, made_at: float
) -> Iterator[Row]:
    """Rows of `model_judgment/JUDGE_single.jsonl`: one an answer of the judge, score -1 where it says no grade."""
    questions = {call.item: call.messages[-1]["content"] for call in grading_calls(material, judge)}
    for turn in find_turns(material.task, material.prompts, material.completions):
        if turn.item not in questions or turn.item not in answers:
            continue
        judgment = answers[turn.item].text
        grade = read_rating(answers[turn.item], verdict_rule(material.task)).value
        yield {
            "question_id": _id(turn.prompt.id),
            "model": model,
            "judge": [judge.model, template_name("single", turn.prompt.category, turn.number)],
            "user_prompt": questions[turn.item],
            "judgment": judgment,
            "score": -1 if grade is None else int(grade) if grade.is_integer() else grade,
            "turn": turn.number,
            "tstamp": made_at,
        }


def pair_rows(
    material: Material,
    judge: JudgeRecipe,
    answers: Mapping[str, JudgeAnswer],
    models: tuple[str, str],
    made_at: float,
) -> Iterator[Row]:
    """Rows of `model_judgment/JUDGE_pair.jsonl`; models: the model's name and the baseline's.

    One a turn that was judged in both orders; "error" is FastChat's word for no verdict. A tie of identical
    conversations, which no judge was asked about, has empty prompts and judgments.
    """
    questions = {call.item: call.messages[-1]["content"] for call in battle_calls(material, judge)}
    rule = verdict_rule(material.task)
    for turn, opponent in pairs(material):
        items = [f"{turn.item}:{order}" for order in ORDERS]
        identical = not turn.problem and not opponent.problem and turn.answers == opponent.answers
        if not identical and not all(item in questions and item in answers for item in items):
            continue
        row: Row = {
            "question_id": _id(turn.prompt.id),
            "model_1": models[0],
            "model_2": models[1],
            "judge": [judge.model, template_name("pair", turn.prompt.category, turn.number)],
            "turn": turn.number,
            "tstamp": made_at,
        }
        for order, item, winners in zip(ORDERS, items, _WINNERS, strict=True):
            judgment = "" if identical else answers[item].text
            side = "tie" if identical else read_side(answers[item], rule).value or "error"
            row |= {f"{order}_winner": winners.get(side, side), f"{order}_judgment": judgment}
            row[f"{order}_user_prompt"] = questions.get(item, "")
        yield row


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines, gzipped where the name ends in .gz, whole or not at all; raises StorageError."""
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    with atomic_file(path) as temporary:
        temporary.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _id(prompt_id: str) -> int | str:
    """A prompt's id as FastChat has it: a number where it is one."""
    return int(prompt_id) if prompt_id.isdecimal() and str(int(prompt_id)) == prompt_id else prompt_id


def _question(prompt_id: str) -> tuple[int, str]:
    """Sorts numbers by size, other ids behind them."""
    question_id = _id(prompt_id)
    return (question_id, "") if isinstance(question_id, int) else (1 << 62, prompt_id)
