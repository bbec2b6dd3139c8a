"""Hyperspherical energy: a rotation keeps it, a moved neuron is seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ropo_bench.errors import StorageError
from ropo_bench.models.geometry import hyperspherical_energy
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.scoring.energy import METRICS, score
from ropo_bench.types import Score
from ropo_bench.types.engines import Engine, Subject

TASK = TaskRecipe(
    name="energy",
    description="a test",
    scorer="energy",
    columns=[Column(metric="energy_drift", header="HE", estimator="census")],
)
Q, V = "model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.v_proj.weight"


def weights() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {
        Q: torch.randn(12, 8, generator=draw),
        V: torch.randn(6, 8, generator=draw),
        "model.layers.0.input_layernorm.weight": torch.ones(8),
        "model.embed_tokens.weight": torch.randn(30, 8, generator=draw),
        "lm_head.weight": torch.randn(30, 8, generator=draw),
    }


def save(folder: Path, tensors: Mapping[str, Tensor]) -> Path:
    folder.mkdir()
    save_file(dict(tensors), folder / "model.safetensors")
    return folder


def of(metric: str, scores: list[Score]) -> dict[str, float | None]:
    return {one.item: one.value for one in scores if one.metric == metric}


def no_engine() -> Engine:
    raise AssertionError("only the weights are read")


def drifts(folder: Path, base: Path) -> list[Score]:
    return score(TASK, Subject(folder, base, no_engine))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save(tmp_path / "base", weights())


def test_the_same_model_has_no_drift(base: Path) -> None:
    scores = drifts(base, base)
    names = {Q.removesuffix(".weight"), V.removesuffix(".weight")}  # neither embeddings, head nor norms
    for metric in METRICS:
        assert of(metric, scores) == dict.fromkeys(names, 0.0)


def test_a_rotation_of_the_inputs_and_magnitudes_keep_both(base: Path, tmp_path: Path) -> None:
    tensors = weights()
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))[0]
    tensors[Q] = torch.rand(12, 1) * (tensors[Q] @ rotation.T)
    scores = drifts(save(tmp_path / "rotated", tensors), base)
    assert of("energy_drift", scores)[Q.removesuffix(".weight")] == pytest.approx(0, abs=1e-6)
    assert of("angle_drift_max", scores)[Q.removesuffix(".weight")] == pytest.approx(0, abs=1e-5)


def test_a_moved_neuron_is_seen_in_its_module_only(base: Path, tmp_path: Path) -> None:
    tensors = weights()
    tensors[Q][0] += 0.5
    scores = drifts(save(tmp_path / "moved", tensors), base)
    expected = hyperspherical_energy(tensors[Q]) / hyperspherical_energy(weights()[Q]) - 1
    drift = of("energy_drift", scores)
    assert drift[Q.removesuffix(".weight")] == pytest.approx(expected)
    assert drift[V.removesuffix(".weight")] == 0
    mean, largest = (of(m, scores)[Q.removesuffix(".weight")] for m in ("angle_drift", "angle_drift_max"))
    assert mean is not None
    assert largest is not None
    assert 0.01 < mean < largest


def test_shards_are_read_like_one_file(base: Path, tmp_path: Path) -> None:
    tensors = weights()
    tensors[V] = tensors[V] * torch.linspace(0.1, 2, 8)
    whole = save(tmp_path / "whole", tensors)
    folder = tmp_path / "shards"
    folder.mkdir()
    index = {}
    for number, key in enumerate(tensors):
        save_file({key: tensors[key]}, folder / f"{number}.safetensors")
        index[key] = f"{number}.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert drifts(folder, base) == drifts(whole, base)


def test_a_missing_or_reshaped_module_is_unscored_not_zero(base: Path, tmp_path: Path) -> None:
    tensors = weights()
    del tensors[Q]
    tensors[V] = tensors[V][:4].clone()
    scores = drifts(save(tmp_path / "broken", tensors), base)
    assert {one.value for one in scores} == {None}
    assert {one.status for one in scores} == {"infrastructure-failed"}
    assert len(scores) == 2 * len(METRICS)


def test_an_unreadable_folder_says_so(base: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        drifts(tmp_path / "absent", base)
    content = (base / "model.safetensors").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "model.safetensors").write_bytes(content[:-100])
    with pytest.raises(StorageError, match="cannot be read"):
        drifts(tmp_path / "cut", base)


def test_the_same_weights_in_another_dtype_have_no_drift(tmp_path: Path) -> None:
    half = {name: tensor.half() for name, tensor in weights().items()}
    full = {name: tensor.float() for name, tensor in half.items()}
    scores = drifts(save(tmp_path / "full", full), save(tmp_path / "half", half))
    assert {one.value for one in scores} == {0.0}


def test_what_a_cast_alone_moves_is_no_drift(tmp_path: Path) -> None:
    double = {name: tensor.double() + 1e-9 for name, tensor in weights().items()}
    for dtype in (torch.float32, torch.bfloat16):
        cast = {name: tensor.to(dtype) for name, tensor in double.items()}
        scores = drifts(save(tmp_path / f"{dtype}", cast), save(tmp_path / f"base of {dtype}", double))
        assert {one.value for one in scores} == {0.0}


def test_equal_neurons_leave_a_number(base: Path, tmp_path: Path) -> None:
    tensors = weights()
    tensors[Q][1] = tensors[Q][0]
    twins = save(tmp_path / "twins", tensors)
    tensors[Q] = tensors[Q] * 2
    tensors[Q][2] += 0.1
    drift = of("energy_drift", drifts(save(tmp_path / "moved", tensors), twins))[Q.removesuffix(".weight")]
    assert drift is not None
    assert 0 < abs(drift) < 1e-2
