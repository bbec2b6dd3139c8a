"""How a run trains where the command does not say it: as the planner chooses, on GPUs; one process on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.planning.devices import read_machine
from ropo_bench.planning.fit import choose_launch
from ropo_bench.planning.machine import Machine
from ropo_bench.recipes.load import load_method
from ropo_bench.request import Asked, resolve
from ropo_bench.store import Store
from ropo_bench.training.team import launch as launching
from ropo_bench.training.team.job import Job
from ropo_bench.training.team.launch import ALONE, Launch, asked_launch

GIB = 1 << 30


def job(tmp_path: Path, name: str | None) -> Job:
    method = None if name is None else load_method(name)
    train = load_method("dpo").train
    return Job(base=tmp_path, base_name="b", pairs=tmp_path, folder=tmp_path, train=train, method=method)


def test_each_method_has_its_own_launch_on_a_node(tmp_path: Path) -> None:
    request, notes = resolve(Asked("ropo,dpo", "llama3-8b")), list[str]()
    launch = choose_launch(request, Store(tmp_path), notes.append, read_machine("8xH100-80G"))
    assert launch == Launch(8, methods={"ropo": Launch(8, False, False), "dpo": Launch(8, True, True)})
    assert notes == [
        "ropo: trains with --processes 8",
        "dpo: trains with --processes 8 --shard (FSDP) and gradient checkpointing",
    ]


def test_what_cannot_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="method dpo: training needs"):
        choose_launch(resolve(Asked("ropo,dpo", "llama3-8b")), Store(tmp_path), print, read_machine("1xH100-80G"))


def test_on_a_cpu_one_process_trains_as_the_recipes_say(tmp_path: Path) -> None:
    cpu = Machine("CPU", 1, 500 * GIB, 500 * GIB)
    assert choose_launch(resolve(Asked("ropo", "llama3-8b")), Store(tmp_path), print, cpu) == ALONE


def test_what_the_command_says_holds() -> None:
    assert asked_launch(None, False) is None
    assert asked_launch(4, True) == Launch(4, True)
    assert asked_launch(None, True) == Launch(1, True)


def test_a_job_is_done_as_its_methods_launch_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Job] = []
    monkeypatch.setattr("ropo_bench.training.work.run", lambda given, on_step: jobs.append(given))
    launch = Launch(methods={"ropo": Launch(1, False, True), "dpo": Launch()})
    for name in ("ropo", "dpo", None):
        launching.run(job(tmp_path, name), launch, lambda step, tokens: None)
    assert [given.method and given.method.train.gradient_checkpointing for given in jobs] == [True, False, None]
    assert jobs[0].train.gradient_checkpointing
    assert jobs[1] == job(tmp_path, "dpo")
    assert jobs[2] == job(tmp_path, None)
