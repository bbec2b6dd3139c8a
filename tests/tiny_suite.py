"""A whole suite in a folder: tiny base, a dozen pairs, four prompts and a gold judge, for tests of the whole way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ropo_bench.types import Prompt


def grade_turns(prompt: Prompt, turns: Sequence[str]) -> list[float]:
    """The more different characters, the better."""
    return [1.0 + min(9.0, len(set(turn)) / 4) for turn in turns]


def write(folder: Path, base: Path) -> list[str]:
    """Write the suite `tiny` and its files; returns the options that make `ropo-bench run` use it."""
    for kind in ("suites", "tasks", "methods"):
        (folder / kind).mkdir(parents=True)
    pairs = [
        {"prompt": f"say {i}", "chosen": "yes " * (i % 4 + 1), "rejected": "no " * (i % 3 + 1)} for i in range(12)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    prompts = [{"id": f"p{i}", "turns": [f"question {i}?"]} for i in range(4)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    (folder / "tasks" / "tiny-arena.yaml").write_text(
        f"""description: four prompts
prompts: {folder / "prompts.jsonl"}
decoding: {{max_new_tokens: 12, temperature: 1.0, batch_size: 2}}
scorer: arena
options: {{grader: "tests.tiny_suite:grade_turns"}}
columns:
  - {{metric: win_rate, header: WR, decimals: 1}}
  - {{metric: length, header: tokens, decimals: 1, better: none}}
"""
    )
    (folder / "suites" / "tiny.yaml").write_text(
        f"""description: a tiny suite for tests
base: {base}
data: {folder / "pairs.jsonl"}
validation: tiny-arena
tasks: [tiny-arena, energy]
train:
  {{lr: 1e-2, batch_size: 4, micro_batch_size: 2, epochs: 4, checkpoint_every_steps: 3,
    max_length: 64, max_prompt_length: 40}}
"""
    )
    return ["--suite", "tiny", "--include", str(folder)]


def write_judged(folder: Path, base: Path, url: str, key_env: str) -> list[str]:
    """The suite with one task more, judged by the endpoint at `url`; returns the options that use it."""
    options = write(folder, base)
    prompts = [{"id": f"j{i}", "turns": [f"Tell me something long about the number {i}."]} for i in range(6)]
    (folder / "judged.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    # Opponents of several words, so that canaries can be made of them.
    answers = [{"instruction": p["turns"][0], "output": f"A number. It is {p['id']}. It is even."} for p in prompts]
    (folder / "opponent.json").write_text(json.dumps(answers))
    (folder / "tasks" / "tiny-judged.yaml").write_text(
        f"""description: six prompts and a judge
inherit: alpaca-eval-2
prompts: {folder / "judged.jsonl"}
decoding: {{max_new_tokens: 12, temperature: 1.0}}
baseline: {folder / "opponent.json"}
judge: test-judge
options: {{difficulties: null}}
"""
    )
    (folder / "judges").mkdir()
    (folder / "judges" / "test-judge.yaml").write_text(
        f"""description: a server on loopback
model: judge-1
base_url: {url}
key_env: {key_env}
timeout_seconds: 2
max_attempts: 2
prices: {{input_per_million_usd: 1, output_per_million_usd: 2, source: a test}}
"""
    )
    return [*options, "--tasks", "tiny-judged"]
