"""`ropo-bench score diversity`: distinct-n, self-BLEU and length of the completions in a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, get_args

from ropo_bench.commands.score.output import Metric, ScoreRow, print_rows
from ropo_bench.errors import UsageError
from ropo_bench.scoring.diversity import Denominator, Words, measure_texts
from ropo_bench.sources.assets import read_given
from ropo_bench.store.bounded import parse_json

LEVELS = {
    "corpus": "over all completions together",
    "prompt": "over all completions of a prompt, mean over prompts",
    "completion": "of each completion alone, mean over completions",
}
PROMPT_KEYS = ("prompt_id", "question_id", "instruction")
FORM = 'one completion a line, or JSON lines of {"output": "..."} (and "prompt_id"), or FastChat\'s model answers'


def score_diversity_command(path: Path, level: str, denominator: str, json: bool) -> None:
    """Print distinct_1 ... distinct_4 and self_bleu as shares (0..1), and length_words; raises UsageError.

    n counts completions at level corpus, else the items that the mean is over; an item without a single n-gram is
    unscored. self_bleu needs two texts, so level completion has none.
    """
    if level not in LEVELS:
        raise UsageError(f"--level {level}: known: {', '.join(LEVELS)}")
    if denominator not in get_args(Denominator):
        raise UsageError(f"--denominator {denominator}: known: {', '.join(get_args(Denominator))}")
    texts = list(read_texts(path))
    if not texts:
        raise UsageError(f"{path}: holds no completion; give {FORM}")
    if level == "prompt" and any(prompt is None for prompt, _ in texts):
        raise UsageError(f'{path}: --level prompt needs one of {", ".join(PROMPT_KEYS)} beside every "output"')
    measures = [measure_texts(item, denominator) for item in _items(texts, level)]  # type: ignore[arg-type]
    metrics = {name: _metric([item[name] for item in measures]) for name in measures[0]}
    if level == "corpus":
        metrics = {
            name: Metric(metric.value, len(texts) * metric.n, len(texts) * metric.n_unscored)
            for name, metric in metrics.items()
        }
    notes = [
        f"distinct_n: different n-grams as a share (0 to 1) of all {denominator}, {LEVELS[level]}; words are"
        " separated by white space, n-grams never cross from one completion into the next"
    ]
    printed = {name: metric for name, metric in metrics.items() if name != "self_bleu" or metric.n}
    print_rows([ScoreRow(path.name, printed, notes, {"level": level, "denominator": denominator})], json)


def read_texts(path: Path) -> Iterator[tuple[str | None, Words]]:
    """(prompt id or None, words) of every completion in a file, gzipped or not; raises UsageError.

    A file whose first character is { or [ and that is JSON holds records; every other is one completion a line.
    """
    text = read_given(path, FORM)
    lines = text.removesuffix("\n").split("\n")
    records = _records(path, text, lines)
    if records is None:
        yield from ((None, line.split()) for line in lines)
        return
    for place, record in records:
        outputs = _outputs(record) if isinstance(record, dict) else []
        if not outputs or not all(isinstance(output, str) for _, output in outputs):
            raise UsageError(f'{path}, {place}: has no "output" that is a text; give {FORM}')
        yield from ((prompt, output.split()) for prompt, output in outputs)


def _outputs(record: Mapping[str, Any]) -> list[tuple[str | None, Any]]:
    """The completions of a record with their prompts' ids; each turn of a FastChat answer has a prompt of its own.

    Empty where the record has another form.
    """
    prompt = next((record[key] for key in PROMPT_KEYS if key in record), None)
    if "output" in record:
        return [(None if prompt is None else str(prompt), record["output"])]
    choices = record.get("choices")
    if not isinstance(choices, list):
        return []
    turns: list[Any] = [choice.get("turns") if isinstance(choice, dict) else None for choice in choices]
    if not all(isinstance(texts, list) for texts in turns):
        return []
    return [(f"{prompt}:{turn}", output) for texts in turns for turn, output in enumerate(texts, 1)]


def _records(path: Path, text: str, lines: Sequence[str]) -> list[tuple[str, Any]] | None:
    """The file's JSON records with their places; None for a file of plain lines."""
    try:
        if text.lstrip().startswith("["):
            return [(f"item {number}", item) for number, item in enumerate(parse_json(text), 1)]
        if not text.lstrip().startswith("{") or not isinstance(parse_json(text.lstrip().split("\n", 1)[0]), dict):
            return None
    except ValueError:
        return None
    records = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                records.append((f"line {number}", parse_json(line)))
            except ValueError as error:
                raise UsageError(f"{path}, line {number}: not JSON ({error}); give {FORM}") from None
    return records


def _items(texts: Sequence[tuple[str | None, Words]], level: str) -> list[list[Words]]:
    """The texts that are measured together."""
    if level == "corpus":
        return [[words for _, words in texts]]
    if level == "completion":
        return [[words] for _, words in texts]
    prompts: Mapping[str | None, list[Words]] = defaultdict(list)
    for prompt, words in texts:
        prompts[prompt].append(words)
    return list(prompts.values())


def _metric(values: Sequence[float | None]) -> Metric:
    scored = [value for value in values if value is not None]
    if not scored:
        return Metric(None, 0, len(values))
    error = stdev(scored) / len(scored) ** 0.5 if len(scored) > 1 else None
    return Metric(fmean(scored), len(scored), len(values) - len(scored), error)
