"""Multiple choice by packed choices and by lm-eval's own model: python -m benchmarks.choices [--limit N] [--json]

The eight commonsense tasks (their data from the mirror in ROPO_BENCH_ASSETS), fp32, in one process: our model of
lm-eval with choices packed, and lm-eval's HFLM in batches of 1 (its command's default) and 16, in turns. Seconds are
those of lm-eval's whole `evaluate`, prompts and tokenisation included. Every item's accuracy, log-probabilities and
greedy choices are compared with HFLM's in batches of 1; a difference, or more than half of its time, is exit code 1.
The model is a random Llama with a byte-level BPE of 32,000 tokens trained on the tasks' own texts, or --model FOLDER.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks._models import build_model, write_config
from benchmarks._results import table
from benchmarks._workload import train_tokenizer
from ropo_bench.generation import start
from ropo_bench.recipes.suite import ShapeRecipe, VllmRecipe
from ropo_bench.runs.provenance import provenance
from ropo_bench.scoring.commonsense.data import TASKS, asset_name, load_tasks
from ropo_bench.scoring.lm_eval.lm import make_lm, run_tasks
from ropo_bench.sources.assets import read_jsonl
from ropo_bench.training.core.choices import choice_logps
from ropo_bench.types import Pair
from ropo_bench.types.engines import Subject

BAR = 0.5  # of HFLM's time
MAX_ERROR, MAX_RELATIVE = 1e-4, 1e-6  # nats
WAYS = {"packed": 1, "HFLM-1": 1, "HFLM-16": 16}
OURS, THEIRS = "packed", "HFLM-1"
VOCABULARY = 32_000
SHAPE = ShapeRecipe(
    hidden_size=384,
    intermediate_size=1024,
    num_hidden_layers=6,
    num_attention_heads=6,
    num_key_value_heads=6,
    vocab_size=VOCABULARY,
    tie_word_embeddings=True,
)
Samples = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Of all items: how many requests and items there were, and the largest difference in nats."""

    num_requests: int
    num_items: int
    nats: float
    num_other_choices: int


def make_model(folder: Path) -> None:
    """A random Llama of 23 M parameters and its tokenizer."""
    rows = [json.dumps(row) for task in TASKS for row in read_jsonl(asset_name(task))]
    tokenizer = train_tokenizer([Pair(str(i), (), row, row) for i, row in enumerate(rows)], VOCABULARY)
    tokenizer.save_pretrained(folder)
    write_config(folder, SHAPE.model_copy(update={"vocab_size": len(tokenizer)}), tokenizer)
    build_model(folder, "cpu", "float32").save_pretrained(folder)


def run(subject: Subject, way: str, limit: int | None) -> tuple[float, Samples]:
    """Seconds, and lm-eval's samples."""
    choices = choice_logps if way == OURS else None
    lm = make_lm(replace(subject, choice_logps=choices), WAYS[way])
    tasks = load_tasks({task: asset_name(task) for task in TASKS})
    begin = time.perf_counter()
    samples = run_tasks(lm, tasks, limit)
    return time.perf_counter() - begin, samples


def compare(ours: Samples, theirs: Samples) -> Difference:
    """Ours with HFLM's, item by item."""
    items = [pair for task in theirs for pair in zip(ours[task], theirs[task], strict=True)]
    answers = [pair for a, b in items for pair in zip(a["filtered_resps"], b["filtered_resps"], strict=True)]
    nats = max((abs(x - y) for (x, _), (y, _) in answers), default=0.0)
    wrong = sum(a["acc"] != b["acc"] or a.get("acc_norm") != b.get("acc_norm") for a, b in items)
    wrong += sum(g != h or abs(x - y) > MAX_ERROR + MAX_RELATIVE * abs(y) for (x, g), (y, h) in answers)
    return Difference(len(answers), len(items), nats, wrong)


def rows(seconds: Mapping[str, list[float]]) -> Iterator[list[str]]:
    """One of the table for every way."""
    for way, values in seconds.items():
        ratios = [value / base for value, base in zip(values, seconds[THEIRS], strict=True)]
        yield [way, f"{statistics.median(values):.1f}", f"{statistics.median(ratios):.2f}"]


def main() -> int:
    """Measure, print, and say whether items are equal and the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model's folder, in place of a random one")
    parser.add_argument("--limit", type=int, help="items of each task (all)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", default=",".join(WAYS), help="what is measured")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.model or Path(temporary)
        if options.model is None:
            make_model(folder)
        engine: Any = start(folder, "hf", "float32", VllmRecipe())
        subject = Subject(folder, folder, lambda: engine)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS if way in options.ways.split(",")}
        samples: dict[str, Samples] = {}
        for _ in range(options.rounds):
            for way, rounds in seconds.items():
                passed, samples[way] = run(subject, way, options.limit)
                rounds.append(passed)
        difference = compare(samples[OURS], samples[THEIRS])
        num_parameters = engine.model.num_parameters()
    ratio = statistics.median(a / b for a, b in zip(seconds[OURS], seconds[THEIRS], strict=True))
    passed_all = difference.num_other_choices == 0 and ratio <= BAR
    if options.json:
        record = {"seconds": seconds, "num_parameters": num_parameters, "ratio": ratio, "passed": passed_all}
        items = {"num_requests": difference.num_requests, "num_items": difference.num_items}
        error = {"nats": difference.nats, "num_different": difference.num_other_choices}
        print(json.dumps({**record, **items, **error, "provenance": provenance()}, default=str))
    else:
        size = f"{num_parameters / 1e6:.1f} M parameters"
        print(f"{size}, {difference.num_items} items, {difference.num_requests} requests")
        print(table(["way", "seconds", "of HFLM's"], list(rows(seconds))))
        print(f"largest difference {difference.nats:.1e} nats; {difference.num_other_choices} different")
    return 0 if passed_all else 1


if __name__ == "__main__":
    raise SystemExit(main())
