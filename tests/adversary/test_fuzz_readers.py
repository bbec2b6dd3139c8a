"""Every reader of a user's file, fed with broken files: it reads them or says in one line what is wrong, soon.

ROPO_BENCH_FUZZ=N sets the mutants a reader (default 200; a sixth of it for recipes, whose parser is slow).
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.claims.sentences import read_claims
from ropo_bench.commands.gate import baseline_of
from ropo_bench.commands.score.diversity import read_texts
from ropo_bench.errors import RopoBenchError
from ropo_bench.gate.history import read_history
from ropo_bench.gate.night import to_plain
from ropo_bench.judging.calibrate import read_battles
from ropo_bench.leaderboard import literature as published
from ropo_bench.leaderboard.formats import to_json
from ropo_bench.models.size import of_folder
from ropo_bench.recipes import load as recipes
from ropo_bench.recipes.rates import read_tuning
from ropo_bench.scoring.alpaca_eval.leaderboard import read_annotations, read_leaderboard
from ropo_bench.scoring.difficulty import _of_file
from ropo_bench.scoring.mt_bench.fastchat import read_judgments
from ropo_bench.sources.prompt_files import read_answer_file, read_prompt_file
from ropo_bench.store import JsonLines, Store
from tests.adversary.mutants import mutant
from tests.gate import nights
from tests.leaderboard.board_example import BOARD

ROOT = Path(__file__).parents[2]
MUTANTS = int(os.environ.get("ROPO_BENCH_FUZZ", "200"))
SLOW = 6
SECONDS = 10.0  # of one mutant, on a busy machine


@dataclass(frozen=True)
class Door:
    """One reader of files: a valid file's name and content, and what reads it."""

    file: str
    valid: bytes
    read: Callable[[Path], Any]
    slow: bool = False


def lines(*records: Any) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def _recipe(kind: str, name: str, read: Callable[..., Any]) -> Door:
    return Door(f"{kind}/own.yaml", (ROOT / kind / f"{name}.yaml").read_bytes(), read, slow=True)


JUDGMENT = {
    "question_id": 81,
    "model": "m",
    "judge": ["gpt-4", "single-v1"],
    "score": 7,
    "turn": 1,
    "user_prompt": "x",
}
BATTLE = {
    "question_id": 81, "model_1": "a", "model_2": "b", "judge": ["gpt-4", "pair-v2"], "g1_winner": "model_1",
    "g2_winner": "tie", "turn": 1, "g1_user_prompt": "x",
}  # fmt: skip
ANNOTATION = {
    "instruction": "say", "output_1": "a", "output_2": "b", "generator_1": "g", "generator_2": "m", "preference": 1.5,
    "annotator": "w", "dataset": "d",
}  # fmt: skip
ANSWER = {"question_id": 81, "choices": [{"index": 0, "turns": ["one", "two"]}]}
PROMPT = {"id": "p1", "turns": ["one", "two"], "category": "math", "metadata": {"n": 1}}
VERDICT = {"prompt": "p", "answer_a": "x", "answer_b": "y", "winner": "a"}
OUTPUT = {"instruction": "p", "output": "x", "generator": "m"}
LEADERBOARD = b",win_rate,standard_error,n_wins,n_total,avg_length,mode\nm,51.5,1.2,400,805,1700,community\n"
NIGHT = to_plain(nights.night(3, [1.0, 2.0]))
POINT = {"lr": 1e-3, "on_grid": True, "num_seeds": 1, "value": 5.0, "failures": []}
TUNED = {
    "lr": 1e-3, "value": 5.0, "corrected": 4.0, "at_edge": False, "points": [POINT], "settings_key": "k", "code": {},
}  # fmt: skip
TUNING = {
    "suite": "pocket", "task": "t", "metric": "m", "num_prompts": 9, "base": "b", "data": "d", "grid": [1e-3],
    "seeds": [100], "draws": 10, "methods": {"dpo": TUNED},
}  # fmt: skip
CONFIG = {
    "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 32,
    "intermediate_size": 16, "num_key_value_heads": 1, "architectures": ["LlamaForCausalLM"],
}  # fmt: skip

DOORS: dict[str, Door] = {
    "method": _recipe("methods", "ropo", recipes.load_method),
    "task": _recipe("tasks", "pocket-arena", recipes.load_task),
    "suite": _recipe("suites", "pocket", recipes.load_suite),
    "judge": _recipe("judges", "gpt-4.1", recipes.load_judge),
    "set": Door("set", b"0.5", lambda path: recipes.load_method("dpo", sets=[_set(path)]), slow=True),
    "claims": Door("claims.yaml", (ROOT / "docs" / "claims.yaml").read_bytes(), read_claims, slow=True),
    "history": Door("h.jsonl", lines(NIGHT, NIGHT), lambda path: read_history(path, "pocket", lambda line: None)),
    "baseline": Door("table.json", to_json(BOARD).encode(), lambda path: baseline_of(str(path), "pocket")),
    "annotations": Door("annotations.json", json.dumps([ANNOTATION] * 2).encode(), read_annotations),
    "leaderboard": Door("leaderboard.csv", LEADERBOARD, read_leaderboard),
    "judgments": Door("j.jsonl", lines(JUDGMENT, JUDGMENT), lambda path: read_judgments(path, False)),
    "battles": Door("b.jsonl", lines(BATTLE, BATTLE), lambda path: read_judgments(path, True)),
    "answers": Door("a.jsonl", lines(ANSWER), read_answer_file),
    "outputs": Door("o.json", json.dumps([OUTPUT]).encode(), read_answer_file),
    "prompts": Door("p.jsonl", lines(PROMPT), read_prompt_file),
    "verdicts": Door("v.jsonl", lines(VERDICT, VERDICT), read_battles),
    "texts": Door("t.jsonl", lines(OUTPUT, ANSWER), lambda path: list(read_texts(path))),
    "difficulties": Door("d.json", json.dumps({"p1": 0.5, "p2": -1}).encode(), lambda path: _of_file(str(path), "x")),
    "tuning": Door("t.json", json.dumps(TUNING).encode(), read_tuning),
    "published": Door(
        "p.csv",
        (ROOT / "results/published/simpo.csv").read_bytes(),
        lambda path: published.read_published(None, [], path.parent),
    ),
    "manifest": Door(
        "runs/cache/policy/0123/manifest.json",
        json.dumps({"schema": 1, "content": {"a": 1}, "files": []}).encode(),
        lambda path: Store(path.parents[3]).stage("policy", "0123").done,
    ),
    "lines": Door("l.jsonl", lines({"id": 1}, {"id": 2}), lambda path: list(JsonLines(path))),
    "config": Door("model/config.json", json.dumps(CONFIG).encode(), lambda path: of_folder(path.parent)),
}


def _set(path: Path) -> str:
    return f"loss.beta={path.read_bytes().decode(errors='replace')}"


def told(read: Callable[[], Any], what: str) -> None:
    """Read; whatever is raised must be an error with one line for the user, and soon."""
    began, message = time.monotonic(), ""
    try:
        read()
    except RopoBenchError as error:
        message = str(error)
    except BaseException as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}"[:500]) from error
    assert len(message) < 2000, f"{what}: a message of {len(message):,} characters"
    assert time.monotonic() - began < SECONDS, f"{what}: {time.monotonic() - began:.1f} s"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", DOORS)
def test_a_reader_reads_or_says_why_not(name: str, tmp_path: Path) -> None:
    door = DOORS[name]
    path = tmp_path / door.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(door.valid)
    told(lambda: door.read(path), f"{name}, valid")
    for seed in range(max(1, MUTANTS // (SLOW if door.slow else 1))):
        path.write_bytes(mutant(door.valid, random.Random(f"{name} {seed}")))
        told(lambda: door.read(path), f"{name}, mutant {seed}")
