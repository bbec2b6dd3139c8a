"""From rounds of a benchmark to rates, ratios and bars that hold or do not."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pytest

from benchmarks import ablation, comparison, dpo_step
from benchmarks._results import Spread, emit, measured, table, times_faster
from ropo_bench.recipes.method import CoreRecipe


def outcome(seconds: list[float], peak: int = 100, reference: float = 0.0, loss: float = 0.5) -> dict[str, Any]:
    return {
        "step_seconds": seconds,
        "step_tokens": [800 for _ in seconds],
        "reference_seconds": reference,
        "reference_pairs": 16 if reference else 0,
        "peak_bytes_above_model": peak,
        "model_bytes": 7,
        "losses": [loss, 0.4],
        "logps_chosen": [-1.0, -2.0],
        "work_seconds": sum(seconds),
        "process_seconds": sum(seconds) + 1,
    }


def test_rates_are_those_of_whole_rounds() -> None:
    found = measured([outcome([2.0, 6.0], reference=8.0), outcome([1.0, 3.0], peak=300, reference=0.16)])
    assert found is not None
    assert found.pairs == Spread(3.0, 2.0, 4.0)  # 16 pairs in 8 s and in 4 s
    assert found.tokens == Spread(300.0, 200.0, 400.0)
    assert found.peak_bytes == Spread(200, 100, 300)
    # The second round found a cache; a cold start pays half a second a pair, beside 0.5 and 0.25 s of the step.
    assert found.reference_seconds == 0.5
    assert found.with_reference.high == pytest.approx(1 / 0.75)
    assert found.with_reference.low == pytest.approx(1.0)


def test_ratios_pair_the_rounds() -> None:
    ours, theirs = measured([outcome([1.0]), outcome([4.0])]), measured([outcome([3.0]), outcome([8.0])])
    assert ours is not None
    assert theirs is not None
    assert times_faster(ours, theirs) == Spread(2.5, 2.0, 3.0)


def test_a_failed_side_is_no_measurement() -> None:
    assert measured([outcome([1.0]), {"error": "exit code 1: no room"}]) is None
    assert measured([]) is None


def test_the_fastest_batch_size_of_trls_best_stays() -> None:
    outcomes = {
        "ours ropo core": [outcome([1.0])],
        "TRL oft best 1": [outcome([3.0])],
        "TRL oft best 2": [outcome([2.0])],
        "TRL oft best 8": [{"error": "no room"}],
        "TRL lora-dpo best 1": [outcome([9.0])],
        "TRL oft default 4": [outcome([9.0])],
    }
    assert dpo_step.slower_sizes(outcomes) == {"TRL oft best 1"}


def test_bars_hold_or_do_not() -> None:
    rows = {
        "ours ropo core": measured([outcome([1.0], peak=30)]),
        "ours lora-dpo core": measured([outcome([0.8], peak=40)]),
        "TRL lora-dpo default 4": measured([outcome([6.1], peak=100)]),
        "TRL lora-dpo best 2": None,
        "TRL lora-dpo best 4": measured([outcome([3.0], peak=100)]),
    }
    found = {bar["what"]: (round(bar["ratio"].median, 3), bar["holds"]) for bar in dpo_step.bars(rows, "cpu")}
    assert found == {
        "ropo over TRL's lora-dpo, default: pairs/s": (6.1, True),
        "ropo over TRL's lora-dpo, default: peak memory": (0.3, True),
        "ropo over TRL's lora-dpo, best: pairs/s": (3.0, False),
        "ropo over TRL's lora-dpo, best: peak memory": (0.3, True),
        "lora-dpo over TRL's lora-dpo, default: pairs/s": (7.625, True),
        "lora-dpo over TRL's lora-dpo, default: peak memory": (0.4, False),
        "lora-dpo over TRL's lora-dpo, best: pairs/s": (3.75, False),
        "lora-dpo over TRL's lora-dpo, best: peak memory": (0.4, False),
        "ropo over lora-dpo, both ours: seconds": (1.25, False),
    }


def test_other_step_1_losses_are_other_work() -> None:
    rows = {"a": measured([outcome([1.0], loss=0.5)]), "b": None, "c": measured([outcome([1.0], loss=0.75)])}
    assert dpo_step.loss_difference(rows) == 0.25


def test_a_comparison_is_the_sum_of_its_runs() -> None:
    outcomes = {
        "ours dpo reference": [outcome([1.0])],
        "ours ropo seed0": [outcome([2.0])],
        "TRL ropo default 4 seed0": [outcome([30.0])],
        "TRL ropo best 4 seed0": [{"error": "no room"}],
    }
    assert comparison.times(outcomes, "default", "work_seconds") == Spread(10.0, 10.0, 10.0)
    assert comparison.times(outcomes, "default", "process_seconds") == Spread(6.2, 6.2, 6.2)
    assert comparison.times(outcomes, "best", "work_seconds") is None


def test_every_switch_is_turned_over_alone() -> None:
    shipped = CoreRecipe().model_dump()
    variants = ablation.variants()
    assert variants.pop("as shipped") == shipped
    assert variants.pop("all off") == dict.fromkeys(shipped, False)
    turned = [[name for name in shipped if switches[name] != shipped[name]] for switches in variants.values()]
    assert turned == [[name] for name in shipped]


def test_tables_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    emit(argparse.Namespace(json=True, steps=2), {"rate": Spread(2.0, 1.0, 3.0)}, "table")
    found = json.loads(capsys.readouterr().out)
    assert found["rate"] == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert found["settings"]["steps"] == 2
    assert found["made_with"]["packages"]["torch"]
