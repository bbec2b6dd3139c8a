"""A merge goes weight by weight into files of a bounded size, and memory holds one model."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, MixtralConfig, MixtralForCausalLM, modeling_utils

from ropo_bench.merging import certificate
from ropo_bench.merging.certificate import certify
from ropo_bench.merging.merge import merge
from ropo_bench.recipes.suite import MergeRecipe
from tests.merging.moved_policies import PROBES, every_adapter, trained


@every_adapter
def test_a_merge_in_many_files_is_the_merge_in_one(
    adapter: str, base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, (one, many) = trained(base_folder, adapter), (tmp_path / "one", tmp_path / "many")
    for folder, size in ((one, "2GB"), (many, "30KB")):
        monkeypatch.setattr("ropo_bench.merging.merge.SHARD_SIZE", size)
        folder.mkdir()
        merge(base_folder, policy, folder, "bfloat16")
    assert [len(list(folder.glob("*.safetensors"))) for folder in (one, many)] == [1, 4]
    first, second = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (one, many))
    assert first.keys() == second.keys()
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())
    assert certify(policy, base_folder, many, PROBES, MergeRecipe(dtype="bfloat16"))["weight_error"] == 0


def test_experts_that_are_stacked_in_memory_alone(tmp_path: Path, base_folder: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "merged"
    folder.mkdir()
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    torch.manual_seed(0)
    MixtralForCausalLM(
        MixtralConfig(vocab_size=262, num_key_value_heads=2, num_local_experts=3, **sizes)
    ).save_pretrained(base)
    AutoTokenizer.from_pretrained(base_folder).save_pretrained(base)
    policy = trained(base, "lora")
    merge(base, policy, folder, "float32")
    with safe_open(folder / "model.safetensors", "pt") as file, safe_open(base / "model.safetensors", "pt") as before:
        assert set(file.keys()) == set(before.keys())
    assert certify(policy, base, folder, PROBES, MergeRecipe())["surviving_share"] == 1


def bytes_alive() -> int:
    """Bytes of all tensors that Python can still reach."""
    gc.collect()
    tensors = [x for x in gc.get_objects() if type(x) in (Tensor, nn.Parameter) and x.device.type == "cpu"]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_merge_and_certificate_hold_one_model(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bytes_alive()
    policy = trained(base_folder, "mirror")
    model = bytes_alive() - before
    held: dict[str, float] = {}  # in models, the last time that each step began

    def watch(module: Any, name: str, times: int) -> None:
        function, left = getattr(module, name), iter(range(times))

        def call(*args: Any, **options: Any) -> Any:
            if next(left, None) == times - 1:
                held[name] = (bytes_alive() - before) / model
            return function(*args, **options)

        monkeypatch.setattr(module, name, call)

    monkeypatch.setattr("ropo_bench.merging.merge.SHARD_SIZE", model // 4)
    watch(modeling_utils, "safe_save_file", times=3)
    watch(certificate, "load_float32", times=2)  # the base as files, then as a model
    watch(certificate, "read_back", times=2)  # so the merged folder
    watch(certificate, "compare_functions", times=1)
    merge(base_folder, policy, tmp_path, "bfloat16")
    certify(policy, base_folder, tmp_path, [PROBES[0][:4]], MergeRecipe(dtype="bfloat16"))
    assert held["safe_save_file"] < 1.3  # the policy and a file
    assert max(held["load_float32"], held["read_back"], held["compare_functions"]) < 0.1  # each frees the one before
