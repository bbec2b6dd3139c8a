"""What a cached reference holds for: its key has what the numbers depend on, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ropo_bench.recipes.load import load_suite
from ropo_bench.recipes.method import CoreRecipe, TrainRecipe
from ropo_bench.stages import Stages
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
def stages(base_folder: Path, tmp_path: Path) -> Stages:
    tiny_suite.write(tmp_path / "suite", base_folder)
    return Stages(Store(tmp_path / "runs"), load_suite("tiny", include=[str(tmp_path / "suite")]), Progress())


def test_float32_shares_one_reference_and_bfloat16_has_one_for_every_kind_of_pass(stages: Stages) -> None:
    single, half = TrainRecipe(lr=1.0), TrainRecipe(lr=1.0, dtype="bfloat16")
    keys = {stages.reference(single.model_copy(update=change)).key for change in [{}, *CHANGES]}
    assert keys == {stages.reference(single).key}
    keys = {stages.reference(half.model_copy(update=change)).key for change in [{}, *CHANGES]}
    assert len(keys) == 1 + len(CHANGES)
    assert stages.reference(half.model_copy(update={"lr": 2.0, "epochs": 3.0})).key in keys
