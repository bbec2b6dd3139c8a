"""Merged folders hold what was trained, and the certificate notices when they do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from ropo_bench.adapters import attach, tuner_layers
from ropo_bench.errors import CertificateFailed, StorageError
from ropo_bench.merging.certificate import certify
from ropo_bench.merging.merge import merge, merged_weights
from ropo_bench.recipes.method import AdapterRecipe
from ropo_bench.recipes.suite import MergeRecipe
from tests.merging.moved_policies import ADAPTERS, PROBES, every_adapter, load_base, trained


@torch.no_grad()
def logits(model: nn.Module) -> list[Tensor]:
    return [model(torch.tensor([ids])).logits[0] for ids in PROBES]


@every_adapter
def test_merge_writes_a_plain_folder_and_leaves_the_policy_alone(
    adapter: str, base_folder: Path, tmp_path: Path
) -> None:
    policy = trained(base_folder, adapter)
    before = logits(policy)
    merge(base_folder, policy, tmp_path, "float32")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(plain) is LlamaForCausalLM
    assert set(plain.state_dict()) == set(load_base(base_folder).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(logits(policy), before, strict=True))
    for merged, adapted in zip(logits(plain), before, strict=True):
        torch.testing.assert_close(merged, adapted, atol=1e-5, rtol=0)


def test_merge_keeps_tokenizer_template_generation_config_and_dtype(base_folder: Path, tmp_path: Path) -> None:
    policy = trained(base_folder, "ropo")
    policy.get_base_model().generation_config.max_new_tokens = 17
    merge(base_folder, policy, tmp_path, "bfloat16")
    assert {p.suffix for p in tmp_path.iterdir()} <= {".json", ".safetensors", ".jinja"}
    before, after = AutoTokenizer.from_pretrained(base_folder), AutoTokenizer.from_pretrained(tmp_path)
    chat = [{"role": "user", "content": "a café"}]
    assert after.apply_chat_template(chat)["input_ids"] == before.apply_chat_template(chat)["input_ids"]
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert plain.dtype == torch.bfloat16
    assert plain.generation_config.max_new_tokens == 17
    for name, weight in merged_weights(policy):
        assert torch.equal(plain.state_dict()[name], weight.bfloat16()), name


@every_adapter
def test_certificate_of_a_right_merge(adapter: str, base_folder: Path, tmp_path: Path) -> None:
    policy = trained(base_folder, adapter).train()
    merge(base_folder, policy, tmp_path, "float32")
    certificate = certify(policy, base_folder, tmp_path, PROBES, MergeRecipe())
    assert json.loads((tmp_path / "certificate.json").read_text()) == certificate
    assert policy.training
    assert certificate["num_probe_tokens"] == sum(map(len, PROBES))
    assert certificate["top1_agreement"] == 1
    assert certificate["mean_kl"] < 1e-9
    assert certificate["surviving_share"] == 1
    assert certificate["weight_error"] == 0
    drifts = [m for m in certificate["modules"] if m["energy_drift"] is not None]
    assert len(drifts) == (14 if adapter in ("full", "mirror") else 4)
    if adapter in ("ropo", "mirror", "oft"):
        assert certificate["orthogonality_error"] < 1e-5
        assert all(abs(m["energy_drift"]) < 1e-6 and m["max_angle_drift"] < 1e-4 for m in drifts)
    else:
        assert certificate["orthogonality_error"] is None
        assert max(abs(m["energy_drift"]) for m in drifts) > 1e-6
        assert max(m["max_angle_drift"] for m in drifts) > 1e-3


@every_adapter
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_untrained_policy_passes(adapter: str, dtype: str, base_folder: Path, tmp_path: Path) -> None:
    policy = attach(load_base(base_folder), ADAPTERS[adapter])
    merge(base_folder, policy, tmp_path, dtype)
    certificate = certify(policy, base_folder, tmp_path, PROBES, MergeRecipe(dtype=dtype))
    assert certificate["surviving_share"] == 1


def rounded_base(base_folder: Path, folder: Path) -> Path:
    """A base that bf16 holds exactly."""
    load_base(base_folder, torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base_folder).save_pretrained(folder)
    return folder


def test_bfloat16_keeps_large_rotations_and_eats_small_ones(base_folder: Path, tmp_path: Path) -> None:
    rounded = rounded_base(base_folder, tmp_path / "base")
    limits, shares = MergeRecipe(dtype="bfloat16"), []
    for size in (2e-5, 2e-4, 1e-2):
        policy, folder = trained(rounded, "ropo", size), tmp_path / f"{size}"
        folder.mkdir()
        merge(base_folder, policy, folder, "bfloat16")
        if size == 2e-5:
            with pytest.raises(CertificateFailed, match=r"kept_change \S+ < 0\.1 .*merge\.dtype: float16 or float32"):
                certify(policy, rounded, folder, PROBES, limits)
            shares.append(json.loads((folder / "certificate.json").read_text())["kept_change"])
        else:
            shares.append(certify(policy, rounded, folder, PROBES, limits)["kept_change"])
    assert shares[0] < 0.1 < shares[1] < 0.9
    assert shares[2] == pytest.approx(1, abs=0.05)


def test_a_bfloat16_policy_passes_with_a_float32_merge(base_folder: Path, tmp_path: Path) -> None:
    rounded, folder = rounded_base(base_folder, tmp_path / "base"), tmp_path / "merged"
    folder.mkdir()
    policy = trained(rounded, "ropo", size=1e-3, dtype=torch.bfloat16)
    merge(base_folder, policy, folder, "float32")
    certificate = certify(policy, rounded, folder, PROBES, MergeRecipe())
    assert certificate["surviving_share"] == 1
    assert certificate["max_abs_logit_difference"] < 1e-4


def test_the_certificate_compares_with_the_base_in_its_folder(base_folder: Path, tmp_path: Path) -> None:
    other, folder = tmp_path / "other", tmp_path / "merged"
    folder.mkdir()
    trained(base_folder, "full").save_pretrained(other)
    AutoTokenizer.from_pretrained(base_folder).save_pretrained(other)
    policy = attach(load_base(base_folder), ADAPTERS["ropo"])
    merge(base_folder, policy, folder, "float32")
    certificate = certify(policy, other, folder, PROBES, MergeRecipe())
    drifts = [m["max_angle_drift"] for m in certificate["modules"] if m["max_angle_drift"] is not None]
    assert min(drifts) > 1e-3  # an untrained policy, yet far from that base


def plant(folder: Path, weights: dict[str, Tensor]) -> None:
    """Overwrite weights of a merged folder by hand."""
    plain = AutoModelForCausalLM.from_pretrained(folder)
    for name, weight in weights.items():
        plain.get_parameter(name).data.copy_(weight)
    plain.save_pretrained(folder)


@torch.no_grad()
def wrong_weights(policy: nn.Module, base: nn.Module, mistake: str) -> dict[str, Tensor]:
    wrong = {}
    for name, layer in tuner_layers(policy):
        weight = base.get_submodule(name).weight
        if mistake == "R for R^T":
            wrong[f"{name}.weight"] = (
                layer.rotate(weight, "default", transpose=True) * layer.scale("default")[:, None]
            )
        elif mistake == "missing m":
            wrong[f"{name}.weight"] = layer.rotate(weight, "default")
        elif mistake == "one module unmerged" and not wrong:
            wrong[f"{name}.weight"] = weight
    return wrong


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [1e-3, 2e-2])
@pytest.mark.parametrize("mistake", ["R for R^T", "missing m", "one module unmerged"])
def test_a_wrong_merge_fails(mistake: str, size: float, dtype: str, base_folder: Path, tmp_path: Path) -> None:
    policy, base = trained(base_folder, "ropo", size), load_base(base_folder)
    merge(base_folder, policy, tmp_path, dtype)
    plant(tmp_path, wrong_weights(policy, base, mistake))
    with pytest.raises(CertificateFailed, match="does not hold the trained weights"):
        certify(policy, base_folder, tmp_path, PROBES, MergeRecipe(dtype=dtype))
    assert json.loads((tmp_path / "certificate.json").read_text())["failures"]


def test_logits_alone_catch_a_wrong_merge(base_folder: Path, tmp_path: Path) -> None:
    policy, base = trained(base_folder, "ropo", 0.3), load_base(base_folder)
    merge(base_folder, policy, tmp_path, "float32")
    plant(tmp_path, wrong_weights(policy, base, "R for R^T"))
    with pytest.raises(CertificateFailed, match=r"mean_kl \S+ > 1e-05"):
        certify(policy, base_folder, tmp_path, PROBES, MergeRecipe())


def test_an_inexact_rotation_fails(base_folder: Path, tmp_path: Path) -> None:
    recipe = AdapterRecipe(name="oft", options={"oft_block_size": 16, "use_cayley_neumann": True})
    policy = attach(load_base(base_folder), recipe)
    for parameter in policy.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.05)
    merge(base_folder, policy, tmp_path, "float32")
    with pytest.raises(CertificateFailed, match=r"orthogonality \S+ > 1e-05.*use_cayley_neumann"):
        certify(policy, base_folder, tmp_path, PROBES, MergeRecipe())


def test_a_truncated_or_missing_shard_cannot_be_read_back(base_folder: Path, tmp_path: Path) -> None:
    policy = trained(base_folder, "ropo")
    merge(base_folder, policy, tmp_path, "float32")
    shard = tmp_path / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(StorageError, match=r"cannot be read back .*merge again"):
        certify(policy, base_folder, tmp_path, PROBES, MergeRecipe())
    shard.unlink()
    with pytest.raises(StorageError, match="cannot be read back"):
        certify(policy, base_folder, tmp_path, PROBES, MergeRecipe())


def test_a_missing_weight_fails(base_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    policy = trained(base_folder, "ropo")
    merge(base_folder, policy, tmp_path, "float32")
    shard = tmp_path / "model.safetensors"
    weights = load_file(shard)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, shard, metadata={"format": "pt"})
    with pytest.raises(CertificateFailed, match=r"missing.*layers\.1\.mlp\.up_proj"):
        certify(policy, base_folder, tmp_path, PROBES, MergeRecipe())
