"""Who runs where and when: the flagship command on eight devices, and what its figures rest on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.commands.plan.command import plan_command
from ropo_bench.commands.plan.timetable import numbers_text
from ropo_bench.models.size import Anatomy, of_shape
from ropo_bench.planning import given_machine
from ropo_bench.planning.choice import choices, choose
from ropo_bench.planning.devices import read_machine
from ropo_bench.planning.machine import Machine
from ropo_bench.planning.plan import plan
from ropo_bench.recipes.load import load_methods, load_suite
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.request import Asked, resolve
from ropo_bench.store import Store

GIB = 1 << 30
NODE = read_machine("8xH100-80G")
FLAGSHIP = Asked("ropo,dpo,lora-dpo,oft", "llama3-8b", seeds=3, judge="gpt-4.1")


def planned(machine: Machine | None, folder: Path, asked: Asked = FLAGSHIP) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(json.dumps(plan(resolve(asked), Store(folder), machine)))
    return record


@pytest.fixture(scope="module")
def flagship(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return planned(NODE, tmp_path_factory.mktemp("runs"))


def llama() -> Anatomy:
    shape = load_suite("llama3-8b").shape
    assert shape is not None
    return of_shape(shape)


def recipe(name: str) -> MethodRecipe:
    (method,) = load_methods(name, suite=load_suite("llama3-8b"))
    return method


def test_the_flagship_command_fits_a_node_within_its_time(flagship: dict[str, Any]) -> None:
    table = flagship["schedule"]
    assert flagship["refused"] is None
    assert table["seconds"] <= 3.2 * 3600
    assert table["least_seconds"] <= table["seconds"] <= 1.10 * table["least_seconds"]
    assert table["seconds"] < table["one_at_a_time_seconds"]
    assert table["basis"] == "estimate"
    assert "estimates, not measurements" in flagship["assumptions"]["estimates"]


def test_every_method_has_its_own_spread(flagship: dict[str, Any]) -> None:
    trainings = [stage for stage in flagship["schedule"]["stages"] if stage["stage"] == "policy"]
    assert len(trainings) == 12
    for stage in trainings:
        assert stage["sharded"] == (stage["row"] == "dpo")
    ways = {entry["method"]: (entry["sharded"], entry["gradient_checkpointing"]) for entry in flagship["training"]}
    assert ways["dpo"] == (True, True)
    assert ways["ropo"] == (False, False)  # it fits without, and checkpointing costs a pass
    assert {entry["fits"] for entry in flagship["training"]} == {"fits"}


def test_seeds_of_a_method_with_dropout_train_over_the_same_number_of_devices(flagship: dict[str, Any]) -> None:
    stages = flagship["schedule"]["stages"]
    widths = {len(s["slots"]) for s in stages if (s["stage"], s["row"]) == ("policy", "lora-dpo")}
    assert len(widths) == 1


def test_checkpoints_and_merged_models_fill_the_disk(flagship: dict[str, Any]) -> None:
    kept = 3 * 4 * 8_030_261_248 + 12 * 2 * 8_030_261_248
    assert kept < flagship["disk"]["peak_bytes"] < kept + 3 * 24 * 8_030_261_248 + 50 * GIB


def test_a_device_that_is_not_known_has_no_times(tmp_path: Path) -> None:
    record = planned(given_machine(80, 8), tmp_path)
    assert record["schedule"] is None
    assert record["disk"]["peak_bytes"] is None
    assert "estimates" not in record["assumptions"]


def test_what_does_not_fit_has_no_schedule_and_is_refused(tmp_path: Path) -> None:
    record = planned(read_machine("1xA100-40G"), tmp_path)
    assert record["schedule"] is None
    assert record["refused"]


def test_one_device_takes_longer_than_eight(tmp_path: Path, flagship: dict[str, Any]) -> None:
    asked = Asked("ropo,oft", "llama3-8b", seeds=1, judge="gpt-4.1")
    one, eight = (planned(read_machine(f"{n}xH100-80G"), tmp_path, asked)["schedule"]["seconds"] for n in (1, 8))
    assert eight < one < 8 * eight


def test_the_text_is_narrow_and_says_who_runs_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan_command(resolve(FLAGSHIP), Store(tmp_path), False, NODE)
    lines = capsys.readouterr().out.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("who "))
    end = next(number for number, line in enumerate(lines) if line.startswith("= reference"))
    assert max(map(len, lines[begin:end])) <= 100
    assert sum(line.startswith("device ") for line in lines) == 8
    assert any("FSDP, checkpointing" in line for line in lines[begin:end])
    assert any(line.startswith("schedule (estimate)") for line in lines)


def test_the_choice_is_copies_then_shards_then_checkpointing() -> None:
    dpo, ropo = (choose(llama(), recipe(name), NODE) for name in ("dpo", "ropo"))
    assert dpo is not None
    assert ropo is not None
    assert (dpo.spread.sharded, dpo.gradient_checkpointing) == (True, True)
    assert (ropo.spread.sharded, ropo.gradient_checkpointing) == (False, False)
    roomy = choose(llama(), recipe("dpo"), read_machine("8xH200-300G"))
    assert roomy is not None
    assert (roomy.spread.sharded, roomy.gradient_checkpointing) == (False, False)
    assert [choice.spread.num_devices for choice in choices(llama(), recipe("dpo"), NODE)] == [4, 8]
    assert [choice.spread.num_devices for choice in choices(llama(), recipe("ropo"), NODE)] == [1, 2, 4, 8]


def test_on_a_cpu_nothing_is_chosen() -> None:
    choice = choose(llama(), recipe("ropo"), Machine("CPU", 1, 500 * GIB, 500 * GIB))
    assert choice is not None
    assert choice.gradient_checkpointing is recipe("ropo").train.gradient_checkpointing
    assert choice.spread.num_devices == 1


def test_numbers_are_told_as_ranges() -> None:
    assert numbers_text([0, 1, 2, 3, 7]) == "0-3,7"
    assert numbers_text([5]) == "5"
