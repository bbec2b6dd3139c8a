"""Why a stage is to be made again: the inputs that differ from the nearest finished one, in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ropo_bench.planning.explain import differences, reason, reason_lines
from ropo_bench.store import Stage, Store

POLICY: dict[str, Any] = {
    "reference": "aaaa",
    "settings": {"train": {"lr": 1e-4, "epochs": 1}, "loss": {"beta": 0.1}},
    "seed": 0,
    "code": {"version": 1, "source": {"ropo_bench.losses": "11", "ropo_bench.training.loop": "22"}},
    "engines": {"torch": "2.12"},
}


def finish(store: Store, inputs: dict[str, Any]) -> Stage:
    stage = store.stage_of("policy", inputs)
    with stage.begin():
        stage.finish({})
    return stage


def changed(**parts: Any) -> dict[str, Any]:
    return {**POLICY, **parts}


def test_one_setting_is_told_with_both_values(tmp_path: Path) -> None:
    finish(Store(tmp_path), POLICY)
    settings = {"train": {"lr": 2e-4, "epochs": 1}, "loss": {"beta": 0.1}}
    wanted = Store(tmp_path).stage_of("policy", changed(settings=settings))
    assert reason(Store(tmp_path), wanted) == "settings.train.lr 0.0001 → 0.0002"


def test_the_nearest_finished_one_is_taken(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store, changed(seed=2, engines={"torch": "2.10"}))
    finish(store, changed(seed=1, engines={"torch": "2.11"}))
    assert reason(store, store.stage_of("policy", changed(seed=1))) == "engines.torch 2.11 → 2.12"


def test_source_is_told_by_its_modules_and_a_version_as_a_number(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store, POLICY)
    source = {"ropo_bench.losses": "99", "ropo_bench.training.loop": "22"}
    code = {"version": 1, "source": source}
    assert reason(store, store.stage_of("policy", changed(code=code))) == "code of ropo_bench.losses"
    assert reason(store, store.stage_of("policy", changed(code={"version": 2}))) == (
        "code.version 1 → 2, code of ropo_bench.losses, ropo_bench.training.loop"
    )


def test_what_comes_before_is_told_where_it_is_made(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish(store, POLICY)
    assert reason(store, store.stage_of("policy", changed(reference="bbbb"))) == "another reference"


def test_the_first_of_its_kind_needs_no_reason(tmp_path: Path) -> None:
    assert reason(Store(tmp_path), Store(tmp_path).stage_of("policy", POLICY)) == ""
    assert differences({}, {}) == []


def test_rows_with_one_reason_share_a_line() -> None:
    steps = [
        {"stage": "train", "row": row, "because": because}
        for row, because in (("dpo", "seed 0 → 1"), ("ropo", "seed 0 → 1"), ("ropo", "seed 0 → 1"), ("oft", ""))
    ]
    assert reason_lines(steps) == ["why train dpo, ropo: seed 0 → 1"]
