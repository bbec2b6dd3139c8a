"""Law: every module whose code runs while a stage is made is in the stage's key, or on one of two short lists.

What runs is seen by Python's profiler; what is in the key is derived from the imports.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import ropo_bench
from ropo_bench.request import Asked, Request, resolve
from ropo_bench.stages import completions, merged, pairs, policy, reference, scores
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Stage, Store
from ropo_bench.store.source import HANDS_ON, HARMLESS
from ropo_bench.terminal.progress import Progress
from tests import tiny_suite

PACKAGE = Path(ropo_bench.__file__).parent
BESIDE = "ropo_bench.stages"
"""Other stages enter a key by their own keys; what they share loads models and tells of progress."""
ONLY_REFUSES = ("ropo_bench.merging.engine", "ropo_bench.models.checks")
"""Checks, after which a number is what it would have been, or is not."""


def module_of(file: str) -> str | None:
    path = Path(file)
    if not path.is_relative_to(PACKAGE):
        return None
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@contextmanager
def running_modules() -> Iterator[set[str]]:
    """The project's modules whose functions are called within."""
    files: set[str] = set()

    def see(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    modules: set[str] = set()
    threading.setprofile(see)
    sys.setprofile(see)
    try:
        yield modules
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        modules.update(name for file in files if (name := module_of(file)) is not None)


def left_out(modules: set[str], stage: Stage) -> set[str]:
    """Modules that ran and that nothing accounts for."""
    assert stage.inputs is not None
    source = stage.inputs["code"]["source"]  # type: ignore[index, call-overload]
    known = {*source, *HANDS_ON, *ONLY_REFUSES, "ropo_bench"}
    return {
        name
        for name in modules
        if name not in known
        and not any(name == package or name.startswith(f"{package}.") for package in (*HARMLESS, BESIDE))
    }


@pytest.fixture
def work(base_folder: Path, tmp_path: Path) -> Iterator[tuple[Bench, Request]]:
    tiny_suite.write(tmp_path / "suite", base_folder)
    request = resolve(Asked("ropo", "tiny", include=[tmp_path / "suite"], backend="hf", seeds=1))
    with Bench(Store(tmp_path / "runs"), request.suite, Progress(), judges=request.judges) as bench:
        yield bench, request


def test_what_runs_is_in_the_key(work: tuple[Bench, Request]) -> None:
    bench, request = work
    method, tasks = request.methods[0], {task.name: task for task in request.tasks}
    arena = tasks["tiny-arena"]
    trained = policy.stage(bench, method, 0)
    whole = merged.stage(bench, trained.key)
    assert bench.backend == "hf"
    model = merged.model(whole, 0)
    energy = tasks["energy"]
    answers, base_answers = completions.stage(bench, model, arena), completions.stage(bench, bench.base, arena)
    steps: list[tuple[str, Stage, Callable[[], Any]]] = [
        ("pairs", pairs.stage(bench), lambda: pairs.make(bench)),
        ("reference", reference.stage(bench, method.train), lambda: reference.make(bench, method.train)),
        ("policy", trained, lambda: policy.make(bench, method, 0)),
        ("merged", whole, lambda: merged.make(bench, trained, "ropo", 0)),
        ("baseline", base_answers, lambda: completions.make(bench, bench.base, arena, "SFT")),
        ("completions", answers, lambda: completions.make(bench, model, arena, "ropo")),
        ("arena", scores.stage(bench, model, arena), lambda: scores.make(bench, model, arena, "ropo")),
        ("energy", scores.stage(bench, model, energy), lambda: scores.make(bench, model, energy, "ropo")),
    ]
    missing = {}
    for name, stage, make in steps:
        assert not stage.done
        with running_modules() as modules:
            make()
        assert stage.done
        if unknown := left_out(modules, stage):
            missing[name] = sorted(unknown)
    assert missing == {}
