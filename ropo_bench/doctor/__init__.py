"""Whether a suite can run on this machine, examined part by part, each with how to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ropo_bench.doctor import judges as judging
from ropo_bench.doctor import machine, materials
from ropo_bench.doctor.line import Line
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.recipes.task import TaskRecipe

__all__ = ["Line", "examine"]


def examine(
    suite: SuiteRecipe,
    tasks: Sequence[TaskRecipe],
    judges: Mapping[str, JudgeRecipe],
    ping: JudgeRecipe | None,
    runs: Path,
) -> Iterator[Line]:
    """Every part in turn, as soon as it is known.

    judges: by the task that they judge. ping: this one is asked one question. Of credentials only the names of
    environment variables are told.
    """
    yield machine.versions()
    yield machine.limits()
    yield machine.accelerator()
    yield machine.vllm(suite, judges)
    yield from machine.memory(suite)
    yield machine.disk(suite, runs)
    yield from materials.of_suite(suite, tasks, judges)
    yield from judging.keys(judges)
    if ping is not None:
        yield judging.ping(ping)
