"""The ways on for a training that does not fit, each with the figure it would have."""

from __future__ import annotations

from typing import Any

import pytest

from ropo_bench import planning
from ropo_bench.models.size import Anatomy, of_shape
from ropo_bench.planning import Machine, Spread, Way
from ropo_bench.recipes.load import load_methods, load_suite
from ropo_bench.recipes.method import MethodRecipe

SUITE = load_suite("llama3-8b")
GIB = 1 << 30


def llama() -> Anatomy:
    assert SUITE.shape is not None
    return of_shape(SUITE.shape)


def recipe(name: str, **train: Any) -> MethodRecipe:
    (found,) = load_methods(name, suite=SUITE)
    return found.model_copy(update={"train": found.train.model_copy(update=train)})


def ways(method: MethodRecipe, machine: Machine, spread: Spread | None = None) -> dict[str, Way]:
    others = [recipe(name) for name in ("lora-dpo", "ropo") if name != method.name]
    return {way.change: way for way in planning.ways_on(llama(), method, others, machine, spread or Spread())}


def test_every_figure_is_that_of_the_changed_training() -> None:
    found = ways(recipe("dpo"), planning.given_machine(80, 1))
    memory = planning.training_memory(llama(), recipe("dpo"))
    lora = planning.training_memory(llama(), recipe("lora-dpo"))
    assert memory is not None
    assert lora is not None
    assert found["--processes 4 --shard (FSDP)"].needed_bytes == memory.on(4, True).total
    offload = found["--processes 2 --shard (FSDP) with FSDP_OFFLOAD_PARAMS=true"]
    assert offload.host_bytes == 16 * llama().num_parameters
    assert found["--methods lora-dpo"].needed_bytes == lora.total
    small = found["--set dpo.train.micro_batch_size=1"]
    assert not small.fits
    assert small.needed_bytes < (memory.total or 0)


def test_a_lean_training_is_one_way_on_and_all_of_it_where_one_change_is_not_enough() -> None:
    plain = recipe("lora-dpo", gradient_checkpointing=False)
    found = ways(plain, planning.given_machine(48, 1))
    assert found["--set lora-dpo.train.gradient_checkpointing=true"].fits
    assert not any(change.count("--set lora-dpo") == 2 for change in found if change.startswith("--set"))
    full = recipe("dpo", gradient_checkpointing=False, dtype="float32")
    together = [
        change for change in ways(full, Machine("CPU", 1, 130 * GIB, 130 * GIB)) if change.count("--set") == 3
    ]
    assert together == []  # lora-dpo or ropo does there
    alone = planning.ways_on(llama(), full, [], Machine("CPU", 1, 30 * GIB, 30 * GIB), Spread())
    assert [way.fits for way in alone] == [False] * 4
    assert alone[-1].change.count("--set") == 3


def test_a_cpu_is_not_told_of_devices() -> None:
    assert not any("--processes" in change for change in ways(recipe("dpo"), Machine("CPU", 1, 64 * GIB, 64 * GIB)))


def test_offload_needs_its_room_in_the_machines_memory() -> None:
    change = "--processes 2 --shard (FSDP) with FSDP_OFFLOAD_PARAMS=true"
    for host, fits in ((100 * GIB, False), (200 * GIB, True)):
        found = ways(recipe("dpo"), Machine("A", 2, 80 * GIB, host))
        assert [way.fits for words, way in found.items() if words.startswith(change)] == [fits]


def test_sharded_already_asks_for_more_devices() -> None:
    found = ways(recipe("dpo"), planning.given_machine(80, 2), Spread(2, True))
    assert "--processes 4 --shard (FSDP)" in found
    assert not any(change == "--processes 2 --shard (FSDP)" for change in found)


@pytest.mark.parametrize(
    ("gib", "number", "words"), [(80, 4, "--processes 4 --shard (FSDP)"), (160, 4, "--processes 4")]
)
def test_the_devices_of_a_machine_hold_all_or_a_share(gib: float, number: int, words: str) -> None:
    memory = planning.training_memory(llama(), recipe("dpo"))
    assert memory is not None
    spread, fit = planning.best_spread(memory, planning.given_machine(gib, number))
    assert spread.words == words
    assert fit is not None
    assert fit.state == "fits"


def test_a_refusal_is_one_line() -> None:
    fit = planning.Fit("no", 200 * GIB, 80 * GIB)
    ways = [Way("--a", 30 * GIB, 0, True), Way("--b", 90 * GIB, 0, False), Way("--c", 9 * GIB, 120 * GIB, True)]
    error = planning.refusal("dpo", fit, Spread(), Machine("X", 1, 80 * GIB, None), ways)
    assert str(error) == (
        "method dpo: training needs about 200.0 GiB, a device (X) has 80.0 GiB; ways on: --a: 30.0 GiB a device; "
        "--c: 9.0 GiB a device and 120.0 GiB of the machine's memory"
    )
    none = planning.refusal("dpo", fit, Spread(), Machine("CPU", 1, 80 * GIB, None), [])
    assert "no setting makes it fit" in str(none)
