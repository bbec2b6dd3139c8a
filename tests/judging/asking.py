"""What the tests of the judging runtime share: judges, calls, verdicts, and a script that asks in its own process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.store import JsonLines
from ropo_bench.types import JudgeCall, Message
from tests.forked import Process, python
from tests.judging.judge_answers import answer_text

KEY_ENV = "JUDGE_TEST_KEY"
FAKE_KEY = "sk-marked-9f3b1c7e5a2d4680"
PARAMS = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 5}

ASK = """
import sys
from pathlib import Path
from ropo_bench.judging.ledger import Budget
from ropo_bench.judging.runtime import answer_calls
from tests.judging.asking import calls, recipe

url, folder, num_calls, concurrency = sys.argv[1:]
print("asking", flush=True)
outcome = answer_calls(recipe(url, max_concurrency=int(concurrency)), calls(int(num_calls)), Path(folder), Budget())
print(len(outcome.answers), len(outcome.failed), flush=True)
"""


def recipe(url: str, **changes: Any) -> JudgeRecipe:
    """A judge at a local server."""
    given = {"name": "test", "description": "a test", "model": "judge-1", "base_url": url, "key_env": None}
    return JudgeRecipe(**{**given, **changes})


def calls(count: int, params: Mapping[str, Any] = PARAMS) -> list[JudgeCall]:
    """`count` different questions."""
    return [
        JudgeCall(
            f"item-{i}",
            (Message(role="system", content="Compare."), Message(role="user", content=f"Which is better? {i}")),
            params,
        )
        for i in range(count)
    ]


def expected(judge: JudgeRecipe, asked: list[JudgeCall]) -> dict[str, str]:
    """What a healthy server answers: item -> text."""
    bodies = {call.item: {**call.params, "model": judge.model, "messages": list(call.messages)} for call in asked}
    return {item: answer_text(body) for item, body in bodies.items()}


def events(folder: Path) -> Counter[str]:
    """How often the ledger says what."""
    return Counter(record["event"] for record in JsonLines(folder / "ledger.jsonl"))


HEAR = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def start(script: str, *arguments: object, **environment: str) -> Process:
    """A Python process that runs `script`, and hears Ctrl-C even where the tests run as a background job."""
    return python(HEAR + script, *map(str, arguments), **environment)


def write_lines(path: Path, *rows: Any) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(i: int, winner: str | None) -> dict[str, Any]:
    """A verdict on battle i, as `judge calibrate` reads it."""
    return {"prompt": f"q{i}", "answer_a": f"first answer to {i}", "answer_b": f"second one {i}", "winner": winner}
