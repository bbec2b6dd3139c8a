"""Golden numbers: a stage's VERSION stands for its numbers, so numbers and VERSION change together or not at all.

golden.json has, for every stage and VERSION, the numbers of a tiny piece of work on the shipped pocket model. Numbers
that changed without a new VERSION fail, and so does a new VERSION whose numbers are those of the one before. After a
change that is meant: raise VERSION and run this file with ROPO_BENCH_GOLDEN=write.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from ropo_bench.request import Asked, resolve
from ropo_bench.runs.items import read_completions, read_scores
from ropo_bench.stages import canaries, completions, merged, pairs, policy, reference, scores
from ropo_bench.stages.bench import Bench
from ropo_bench.store import JsonLines, Store
from ropo_bench.terminal.progress import Progress
from tests import tiny_suite

GOLDEN = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-5
VERSIONS = {
    module.__name__.rpartition(".")[2]: module.VERSION
    for module in (pairs, reference, policy, merged, completions, scores, canaries)
}
JUDGE = "description: by letters\nkind: function\nmodel: tests.tiny_suite:grade_turns\nkey_env: null\n"


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Every stage's numbers as the code makes them now."""
    folder = tmp_path_factory.mktemp("golden")
    tiny_suite.write_judged(folder / "suite", Path("pocket:sft"), "http://127.0.0.1:9/v1", "NO_KEY")
    (folder / "suite/judges/test-judge.yaml").write_text(JUDGE)
    task = folder / "suite/tasks/tiny-arena.yaml"
    task.write_text(task.read_text().replace("temperature: 1.0", "temperature: 0.0"))
    sets = ["train.epochs=2", "train.lr=1e-3", "train.checkpoint_every_steps=100"]
    tasks = "tiny-arena,energy,tiny-judged"
    request = resolve(Asked("ropo,dpo", "tiny", tasks=tasks, sets=sets, include=[folder / "suite"], backend="hf"))
    with Bench(Store(folder / "runs"), request.suite, Progress(), judges=request.judges) as bench:
        return dict(measure(bench, request))


def measure(bench: Bench, request: Any) -> Iterator[tuple[str, Any]]:
    tasks = {task.name: task for task in request.tasks}
    rows = [json.loads(line) for line in pairs.make(bench).file("pairs.jsonl").read_text().splitlines()]
    yield "pairs", [[row["prompt"][-1]["content"], row["chosen"], row["rejected"]] for row in rows]
    logps = JsonLines(reference.make(bench, request.methods[0].train).file("logps.jsonl"))
    yield "reference", {row["id"]: [row["chosen"], row["rejected"]] for row in logps}
    losses, changes, texts, values = {}, {}, {}, {}
    base = load_file(bench.base.folder / "model.safetensors")
    for method in request.methods:
        trained = policy.make(bench, method, 0)
        losses[method.name] = [row["loss"] for row in JsonLines(trained.file("train.jsonl"))]
        model = merged.make(bench, trained, method.name, 0)
        weights = load_file(model.folder / "model.safetensors")
        moved = [name for name in sorted(base) if name in weights and not weights[name].equal(base[name])]
        changes[method.name] = {name: float((weights[name] - base[name]).norm()) for name in moved[:3]}
        for task in tasks.values():
            graded = read_scores(scores.make(bench, model, task, method.name))
            values[f"{method.name} {task.name}"] = [[s.item, s.metric, s.value] for s in graded]
            if task.decoding is not None and task.decoding.temperature == 0.0:
                answers = read_completions(completions.stage(bench, model, task))
                texts[f"{method.name} {task.name}"] = [answer.turns for answer in answers]
    yield "policy", losses
    yield "merged", changes
    yield "completions", texts
    yield "scores", values
    yield "canaries", canaries.make(bench, tasks["tiny-judged"]).manifest["canaries"]


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same, numbers within the tolerance."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float | int):
        return a == pytest.approx(b, rel=TOLERANCE, abs=1e-6)
    return bool(a == b)


@pytest.mark.parametrize("stage", VERSIONS)
def test_numbers_change_with_the_version_and_with_nothing_else(stage: str, numbers: Mapping[str, Any]) -> None:
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    known, version, now = golden.get(stage, {}), str(VERSIONS[stage]), plain(numbers[stage])
    before = known.get(str(VERSIONS[stage] - 1))
    assert before is None or not same(before, now), f"{stage}: VERSION {version} has the numbers of the one before"
    if os.environ.get("ROPO_BENCH_GOLDEN") == "write" and version not in known:
        GOLDEN.write_text(json.dumps(golden | {stage: {**known, version: now}}, indent=1, sort_keys=True) + "\n")
        return
    assert version in known, f"{stage}: no golden numbers of VERSION {version}; write them (see above)"
    assert same(known[version], now), f"{stage}: other numbers at the same VERSION; raise it if that is meant"
