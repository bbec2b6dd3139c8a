"""lm-eval's own command on our definitions, and its samples beside our scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ropo_bench.generation import start
from ropo_bench.recipes.load import load_task
from ropo_bench.recipes.suite import VllmRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.lm_eval.score import score
from ropo_bench.training.core.choices import choice_logps
from ropo_bench.types import Score
from ropo_bench.types.engines import Engine, Subject

TASKS = ("tiny_choice", "tiny_maths", "tiny_group", "tiny_texts", "tiny_orders")
VLLM = ",enforce_eager=True,kv_cache_memory_bytes=268435456"
SYSTEM = "Be brief."
Samples = dict[tuple[str, str], dict[int, dict[str, Any]]]


def lm_eval(model: str, folder: Path, tasks: Path, out: Path, *more: str, names: str = "") -> tuple[Samples, Any]:
    """Samples by (task, filter) and document, and the results."""
    given = f"pretrained={folder},dtype=float32" + (VLLM if model == "vllm" else "")
    arguments = ["run", "--model", model, "--model_args", given, "--tasks", names or ",".join(TASKS)]
    arguments += ["--include_path", str(tasks), "--log_samples", "--output_path", str(out)]
    arguments += [*([] if model == "vllm" else ["--device", "cpu"]), *more]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1"}
    offline |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    command = [sys.executable, "-m", "lm_eval", *arguments]
    ended = subprocess.run(command, env=os.environ | offline, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    [results] = out.rglob("results_*.json")
    samples: Samples = {}
    for path in out.rglob("samples_*.jsonl"):
        name = path.name.removeprefix("samples_").rpartition("_")[0]
        for line in path.read_text().splitlines():
            sample = json.loads(line)
            samples.setdefault((name, sample["filter"]), {})[sample["doc_id"]] = sample
    return samples, json.loads(results.read_text())["results"]


def recipe(folder: Path, task: str, tasks: Path, **options: Any) -> TaskRecipe:
    """The long form, as a task file."""
    path = folder / f"{task.replace('_', '-')}.yaml"
    given = {"task": task, "include_path": str(tasks), **options}
    path.write_text(json.dumps({"scorer": "lm-eval", "options": given}))
    return load_task(path)


def scores(engine: Engine, folder: Path, task: TaskRecipe) -> list[Score]:
    return score(task, Subject(folder, folder, lambda: engine, choice_logps))


def engine_of(folder: Path, backend: str) -> Engine:
    return start(folder, backend, "float32", VllmRecipe())


def column(found: list[Score], metric: str) -> dict[str, float | None]:
    own = [one for one in found if one.metric == metric]
    assert len({one.item for one in own}) == len(own)
    return {one.item: one.value for one in own}


def percent(samples: Samples, task: str, metric: str, filter_: str = "none") -> dict[str, float | None]:
    """lm-eval's values of every document, under our names of items."""
    return {f"{task}:{id}": 100.0 * sample[metric] for id, sample in sorted(samples[task, filter_].items())}


def responses(found: list[Score], metric: str) -> list[Any]:
    return [one.detail["response"] for one in found if one.metric == metric]
