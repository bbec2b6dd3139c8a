"""What a cached reference holds for: its key has what the numbers depend on, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ropo_bench.recipes.load import load_suite
from ropo_bench.recipes.method import CoreRecipe, TrainRecipe
from ropo_bench.stages import reference
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress
from tests import tiny_suite

CHANGES: list[dict[str, Any]] = [
    {"core": CoreRecipe(packing=False)},
    {"core": CoreRecipe(prefix_sharing=False)},
    {"core": CoreRecipe(kernels=False)},
    {"core": CoreRecipe(compile=True)},
    {"micro_batch_size": 4},
    {"micro_batch_tokens": 512},
]


@pytest.fixture
def bench(base_folder: Path, tmp_path: Path) -> Bench:
    tiny_suite.write(tmp_path / "suite", base_folder)
    return Bench(Store(tmp_path / "runs"), load_suite("tiny", include=[str(tmp_path / "suite")]), Progress())


def test_float32_shares_one_reference_and_bfloat16_has_one_for_every_kind_of_pass(bench: Bench) -> None:
    single, half = TrainRecipe(lr=1.0), TrainRecipe(lr=1.0, dtype="bfloat16")
    keys = {reference.stage(bench, single.model_copy(update=change)).key for change in [{}, *CHANGES]}
    assert keys == {reference.stage(bench, single).key}
    keys = {reference.stage(bench, half.model_copy(update=change)).key for change in [{}, *CHANGES]}
    assert len(keys) == 1 + len(CHANGES)
    assert reference.stage(bench, half.model_copy(update={"lr": 2.0, "epochs": 3.0})).key in keys
