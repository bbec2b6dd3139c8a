"""Prompts and answers in the file formats of MT-Bench (FastChat) and AlpacaEval, gzipped or not.

AlpacaEval's items have no id: theirs is the row in the reference outputs, "0" to "804", which difficulties go by too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.sources.assets import read_given
from ropo_bench.store.bounded import check_unicode, parse_json
from ropo_bench.types import Completion, Prompt
from ropo_bench.types.thoughts import without_thoughts


@dataclass(frozen=True, slots=True)
class PromptSet:
    """A public prompt set: its registered file, and its prompts and turns, which a plan needs before that is here."""

    file: str
    num_prompts: int
    num_turns: int


PROMPT_SETS = {
    "mt-bench": PromptSet("mt_bench/question.jsonl", 80, 160),
    "alpaca-eval-2": PromptSet("alpaca_eval/reference_outputs_gpt4_1106_preview.json", 805, 805),
}
PROMPT_FILES = {name: prompt_set.file for name, prompt_set in PROMPT_SETS.items()}
ANSWER_FILES = {"alpaca-eval-2": PROMPT_FILES["alpaca-eval-2"]}
"""Registered files by the names that recipes give to prompts and to a baseline's answers."""
_PROMPT_FORM = '{"id": ..., "turns": ["...", ...]}, FastChat\'s {"question_id", "turns"} or {"instruction": "..."}'
_ANSWER_FORM = 'FastChat\'s {"question_id", "choices": [{"turns"}]} or alpaca_eval\'s {"instruction", "output"}'


def registered_files(task: TaskRecipe) -> list[str]:
    """Names of the registered files that a task's prompts and its baseline's answers are read from."""
    named = (PROMPT_FILES.get(task.prompts or ""), ANSWER_FILES.get(task.baseline or ""))
    return [file for file in named if file is not None]


def read_prompt_file(path: Path) -> list[Prompt]:
    """Prompts of a JSON or JSONL file: ours, FastChat's questions, or alpaca_eval's instructions with rows as ids.

    Raises UsageError naming the record that is none, or the id that is given twice.
    """
    prompts = []
    for row, (place, record) in enumerate(_records(path)):
        with _naming(path, place, "prompt", _PROMPT_FORM):
            prompt = _instruction(record, row) if "instruction" in record else _prompt(record)
            check_unicode(prompt.id, *prompt.turns)
            prompts.append(prompt)
    twice = [name for name, count in Counter(prompt.id for prompt in prompts).items() if count > 1]
    if twice:
        raise UsageError(
            f"{path}: prompt id {twice[0]!r} is given more than once; every prompt needs an id of its own"
        )
    return prompts


def read_answer_file(path: Path, prompts: Sequence[Prompt] = ()) -> list[Completion]:
    """Answers of a JSON or JSONL file: FastChat's model_answer, or alpaca_eval's model_outputs; num_tokens is ().
    Thoughts (up to </think>) are no part of them.

    prompts: those that must be answered, others are left out; alpaca_eval's outputs are matched to them by
    instruction, and without them by row. Raises UsageError naming the record that is none, a prompt without an
    answer, or one with two.
    """
    ids: dict[str, list[str]] = defaultdict(list)
    for prompt in prompts:
        ids[prompt.turns[0]].append(prompt.id)
    answers: list[Completion] = []
    for row, (place, record) in enumerate(_records(path)):
        with _naming(path, place, "answer", _ANSWER_FORM):
            if "choices" in record:
                answers += _choices(record)
            elif not prompts:
                answers.append(_output(record, str(row)))
            elif ids.get(record["instruction"]):
                answers.append(_output(record, ids[record["instruction"]].pop(0)))
    counts = Counter((answer.prompt_id, answer.sample) for answer in answers)
    twice = [prompt_id for (prompt_id, _), count in counts.items() if count > 1]
    if twice:
        raise UsageError(f"{path}: prompt {twice[0]!r} is answered more than once; keep one of the answers")
    prompt_ids, answered = {prompt.id for prompt in prompts}, {answer.prompt_id for answer in answers}
    missing = [prompt.id for prompt in prompts if prompt.id not in answered]
    if missing:
        raise UsageError(f"{path}: {len(missing)} of {len(prompts)} prompts have no answer, first {missing[0]!r}")
    return [answer for answer in answers if answer.prompt_id in prompt_ids] if prompts else answers


def _prompt(record: Mapping[str, Any]) -> Prompt:
    name = record["id"] if "id" in record else record["question_id"]
    return Prompt(str(name), _turns(record), str(record.get("category", "")), dict(record.get("metadata", {})))


def _instruction(record: Mapping[str, Any], row: int) -> Prompt:
    metadata = {"dataset": record["dataset"]} if "dataset" in record else {}
    return Prompt(str(row), (_text(record, "instruction"),), "", metadata)


def _choices(record: Mapping[str, Any]) -> list[Completion]:
    name = str(record["question_id"])
    return [
        _answer(name, int(choice.get("index", number)), _turns(choice))
        for number, choice in enumerate(record["choices"])
    ]


def _output(record: Mapping[str, Any], prompt_id: str) -> Completion:
    return _answer(prompt_id, 0, (_text(record, "output"),))


def _answer(prompt_id: str, sample: int, texts: tuple[str, ...]) -> Completion:
    """What was answered, without the thoughts before it."""
    turns = tuple(without_thoughts(text).text for text in texts)
    return Completion(prompt_id, sample, turns, (), raw=None if turns == texts else texts)


def _text(record: Mapping[str, Any], key: str) -> str:
    if not isinstance(record[key], str):
        raise TypeError(f"{key} must be text")
    return str(record[key])


def _turns(record: Mapping[str, Any]) -> tuple[str, ...]:
    turns = record["turns"]
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) for turn in turns):
        raise TypeError("turns must be a list of texts")
    return tuple(turns)


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Each record of a JSON array or of JSON lines, with its place in the file."""
    text = read_given(path, "a JSON array or one JSON object a line")
    if text.lstrip().startswith("["):
        with _naming(path, "line 1", "JSON array", "a JSON array or one JSON object a line"):
            items = parse_json(text)
        yield from ((f"item {number}", item) for number, item in enumerate(items, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            with _naming(path, f"line {number}", "JSON object", "a JSON array or one JSON object a line"):
                record = parse_json(line)
            yield f"line {number}", record


@contextmanager
def _naming(path: Path, place: str, what: str, form: str) -> Iterator[None]:
    """Turn what a malformed record raises into an error that names the place and the right form."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path}, {place}: is no {what} ({reason}); give {form}") from error
