"""Child processes that take turns (A B A B ...), so that a slow minute of the machine meets both sides alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Outcome = dict[str, Any]  # what a child measured, or {"error": one line}


@dataclass(frozen=True, slots=True)
class Job:
    """One side's work: `python -m module` with the spec, JSON in and JSON out; name: the row that it fills."""

    name: str
    module: str
    spec: Mapping[str, Any]


def run_child(job: Job, folder: Path, threads: int, device: str, timeout: float) -> Outcome:
    """One child to its end; a failure is one line: what happened and the last that the child said."""
    spec, result, log = (folder / name for name in ("spec.json", "result.json", "child.log"))
    spec.write_text(json.dumps(dict(job.spec)))
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", job.module, str(spec), str(result)]
    began = time.perf_counter()
    with log.open("w") as output:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=_environment(folder, threads, device),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
            ending = f"exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            ending = f"stopped after {timeout:g} s"
    if result.is_file():
        return {**json.loads(result.read_text()), "process_seconds": time.perf_counter() - began}
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return {"error": f"{ending}: {lines[-1][:300] if lines else 'it said nothing'}"}


def _environment(folder: Path, threads: int, device: str) -> dict[str, str]:
    """The same for both sides: offline, so many threads, caches in the temporary folder, no GPU for CPU rows."""
    number = str(threads)
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    return {
        **os.environ,
        **hidden,
        "OMP_NUM_THREADS": number,
        "MKL_NUM_THREADS": number,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder / "datasets"),
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
        "PYTHONWARNINGS": "ignore",
    }


def child(run: Callable[[dict[str, Any]], Outcome]) -> None:
    """The main function of a child's module."""
    spec, result = (Path(argument) for argument in sys.argv[1:3])
    found = run(json.loads(spec.read_text()))
    whole = result.with_suffix(".part")
    whole.write_text(json.dumps(found))
    whole.replace(result)


def take_turns(
    jobs: Sequence[Job],
    rounds: int,
    run: Callable[[Job], Outcome],
    drop: Callable[[dict[str, list[Outcome]]], set[str]] = lambda outcomes: set(),
) -> dict[str, list[Outcome]]:
    """Every job once a round, in the order given; the outcomes of each, by name.

    A job that failed is not run again. drop(outcomes so far): names that the next rounds leave out.
    """
    outcomes: dict[str, list[Outcome]] = {job.name: [] for job in jobs}
    left_out: set[str] = set()
    for number in range(rounds):
        for job in jobs:
            if job.name in left_out or any("error" in outcome for outcome in outcomes[job.name]):
                continue
            print(f"round {number + 1} of {rounds}: {job.name}", file=sys.stderr, flush=True)
            outcomes[job.name].append(run(job))
            if "error" in outcomes[job.name][-1]:
                print(f"{job.name}: {outcomes[job.name][-1]['error']}", file=sys.stderr, flush=True)
        left_out = drop(outcomes)
    return outcomes
