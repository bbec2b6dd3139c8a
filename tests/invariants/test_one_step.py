"""Every row trains for a step on a tiny model, is saved, read again, merged and certified; all read one reference."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ropo_bench.adapters import attach
from ropo_bench.merging.certificate import certify
from ropo_bench.merging.merge import merge
from ropo_bench.models.load import load_model
from ropo_bench.models.policy import load_policy
from ropo_bench.recipes.load import list_recipes, load_method, load_methods
from ropo_bench.recipes.suite import MergeRecipe
from ropo_bench.store import JsonLines
from ropo_bench.training.loop import fit
from ropo_bench.training.policy import save_policy
from ropo_bench.training.preference import PreferenceObjective
from ropo_bench.training.reference import Reference, compute_reference, read_reference
from ropo_bench.training.team.devices import team
from tests.invariants.test_training_laws import random_pairs, train

CROSSED = ["simpo+ropo", "dpo+dora", "alpha-dpo+pissa"]
PROBES = [list(range(7, 60)), list(range(100, 9, -3))]


@pytest.fixture(scope="module")
def reference(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    path = tmp_path_factory.mktemp("reference") / "logps.jsonl"
    compute_reference(
        load_model(base_folder, "float32"), random_pairs(), 0, train(3), path, lambda done, tokens: None
    )
    return read_reference(path)


@pytest.mark.filterwarnings("ignore:Invalid `oft_block_size`")
@pytest.mark.parametrize("name", [*sorted(list_recipes("methods")), *CROSSED])
def test_a_step_then_saved_merged_and_certified(
    name: str, reference: Reference, base_folder: Path, tmp_path: Path
) -> None:
    sets = ["train.batch_size=8", "train.micro_batch_size=4", "train.epochs=1", "train.lr=1e-3"]
    method = load_method(name, sets=sets)
    torch.manual_seed(0)
    policy = attach(load_model(base_folder, "float32"), method.adapter)
    before = {key: p.detach().clone() for key, p in policy.named_parameters() if p.requires_grad}
    objective = PreferenceObjective(random_pairs(), reference, method.loss, method.train, 0, 0)
    assert fit(policy, objective, method.train, 0, tmp_path, lambda step, tokens: None).num_steps == 1
    [record] = JsonLines(tmp_path / "train.jsonl")
    assert math.isfinite(record["loss"])
    assert any(not p.equal(before[key]) for key, p in policy.named_parameters() if key in before)

    save_policy(policy, tmp_path / "policy", str(base_folder), team())
    merged = tmp_path / "merged"
    merged.mkdir()
    merge(base_folder, load_policy(base_folder, tmp_path / "policy"), merged, "float32")
    certificate = certify(
        load_policy(base_folder, tmp_path / "policy"), base_folder, merged, PROBES, MergeRecipe(), ["Hello."]
    )
    assert certificate["failures"] == []


def test_all_rows_of_a_base_share_one_reference_pass() -> None:
    """What the pass depends on is the same in every recipe, so its key is."""
    rows = load_methods("all")
    settings = {(row.train.max_length, row.train.max_prompt_length, row.train.dtype) for row in rows}
    assert len(rows) > 40
    assert len(settings) == 1
