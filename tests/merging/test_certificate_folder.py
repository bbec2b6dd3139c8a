"""Everything of a merged folder that is not a weight is compared with the base's, in every dtype."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from ropo_bench.errors import CertificateFailed
from ropo_bench.merging.certificate import certify
from ropo_bench.merging.folder import compare_folders, differences
from ropo_bench.merging.merge import merge
from ropo_bench.recipes.suite import MergeRecipe
from tests.merging.moved_policies import PROBES, load_base, trained


def edit(name: str, change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return plant


def swap_words(content: dict[str, Any]) -> None:
    words = content["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]


def longer_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text() + "\n")


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "rope": (
        edit("config.json", lambda c: c["rope_parameters"].update(rope_theta=5e5)),
        r"rope_parameters\.rope_theta: 500000\.0 \(base: 10000\.0\)",
    ),
    "eps": (edit("config.json", lambda c: c.update(rms_norm_eps=1e-2)), r"rms_norm_eps: 0\.01"),
    "activation": (edit("config.json", lambda c: c.update(hidden_act="gelu")), "hidden_act: 'gelu'"),
    "eos": (
        edit("generation_config.json", lambda c: c.update(eos_token_id=9)),
        "generation_config.json: eos_token_id: 9",
    ),
    "temperature": (
        edit("generation_config.json", lambda c: c.update(temperature=0.2, do_sample=True)),
        r"temperature: 0\.2 \(base: None\)",
    ),
    "words": (edit("tokenizer.json", swap_words), "2 words have other ids: 'a' is .*texts have other token ids"),
    "template": (longer_template, "its chat template is not the base's"),
    "tokenizer's eos": (
        edit("tokenizer_config.json", lambda c: c.update(eos_token="<|pad|>")),
        r"tokenizer: eos_token_id: 0 \(base: 5\)",
    ),
    "dtype": (edit("config.json", lambda c: c.update(dtype="float16")), r"dtype: torch\.float16 \(asked: bfloat16\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_differs_beside_its_weights_fails(fault: str, base_folder: Path, tmp_path: Path) -> None:
    plant, told = FAULTS[fault]
    policy = trained(base_folder, "ropo")
    merge(base_folder, policy, tmp_path, "bfloat16")
    assert compare_folders(base_folder, tmp_path, "bfloat16", ["a bad cab"]) == []
    plant(tmp_path)
    with pytest.raises(CertificateFailed, match=told) as failure:
        certify(policy, base_folder, tmp_path, PROBES, MergeRecipe(dtype="bfloat16"), ["a bad cab"])
    assert "\n" not in str(failure.value)


def test_differences_are_named_by_their_path() -> None:
    base = {"a": {"b": 1, "c": None}, "dtype": "float32", "d": [1, 2]}
    merged = {"a": {"b": 2}, "dtype": "bfloat16", "d": [1, 2], "e": 0}
    assert list(differences(base, merged, {"dtype"})) == ["a.b: 2 (base: 1)", "e: 0 (base: None)"]


def test_a_number_that_float16_cannot_hold_is_named(base_folder: Path, tmp_path: Path) -> None:
    policy = trained(base_folder, "full")
    policy.get_parameter("model.layers.1.mlp.up_proj.weight").data[3, 4] = 7e4
    merge(base_folder, policy, tmp_path, "float16")
    with pytest.raises(CertificateFailed, match=r"overflow: \|model.layers.1.mlp.up_proj.weight\| up to 7e\+04"):
        certify(policy, base_folder, tmp_path, PROBES, MergeRecipe(dtype="float16"))
    assert "NaN" not in (tmp_path / "certificate.json").read_text()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_base_in_float64_is_rounded_to_float32_once(dtype: Any, base_folder: Path, tmp_path: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "merged"
    folder.mkdir()
    double = load_base(base_folder).double()
    for parameter in double.parameters():
        parameter.data += 1e-10 * torch.randn_like(parameter)
    double.save_pretrained(base)
    AutoTokenizer.from_pretrained(base_folder).save_pretrained(base)
    policy = trained(base, "ropo", 1e-2)
    merge(base, policy, folder, dtype)
    certificate = certify(policy, base, folder, PROBES, MergeRecipe(dtype=dtype))
    assert certificate["weight_error"] == 0
    assert certificate["kept_change"] == pytest.approx(1, abs=0.1)
