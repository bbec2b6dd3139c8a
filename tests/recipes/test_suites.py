"""Suites: published sizes and protocols, and the parameters that an adapter trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.models.size import Anatomy, of_folder, of_shape, trainable_parameters
from ropo_bench.preferences.read import _HUB
from ropo_bench.recipes.load import list_recipes, load_judge, load_method, load_methods, load_suite, load_task
from ropo_bench.recipes.suite import ShapeRecipe
from ropo_bench.sources.models import local_model, missing_files
from ropo_bench.sources.shipped import POCKET_ASSETS
from tests.conftest import new_llama

REAL = ["smol", "mistral-7b", "llama3-8b"]
METHODS = sorted(list_recipes("methods"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Suites load, and models are counted, without a single connection."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)


def anatomy_of(suite: str) -> Anatomy:
    shape = load_suite(suite).shape
    assert shape is not None
    return of_shape(shape)


@pytest.mark.parametrize(
    ("suite", "parameters"), [("smol", 134_515_008), ("mistral-7b", 7_241_732_096), ("llama3-8b", 8_030_261_248)]
)
def test_a_shape_gives_the_published_number_of_parameters(suite: str, parameters: int) -> None:
    assert anatomy_of(suite).num_parameters == parameters


def test_ropo_trains_the_papers_share_of_llama3_8b() -> None:
    trainable = trainable_parameters(anatomy_of("llama3-8b"), load_method("ropo").adapter)
    assert trainable == 688_000
    assert round(100 * trainable / 8_030_261_248, 4) == 0.0086


@pytest.mark.parametrize("name", REAL)
def test_a_real_suite_is_complete(name: str) -> None:
    suite = load_suite(name)
    tasks = [suite.with_decoding(load_task(task)) for task in suite.tasks]
    assert {task.scorer for task in tasks} >= {"mt-bench", "mt-bench-pairwise", "alpaca-eval", "commonsense"}
    assert suite.judge is not None
    assert load_judge(suite.judge).logprobs  # else AlpacaEval 2 would have no weighted win rate
    match = _HUB.fullmatch(suite.data)
    assert match is not None
    assert match["split"] in ("train_prefs", "test_prefs")  # its "train" is another selection
    assert len(load_methods("all", suite=suite)) == len(METHODS)


@pytest.mark.parametrize("name", ["mistral-7b", "llama3-8b"])
def test_the_published_protocol_of_the_baselines(name: str) -> None:
    suite = load_suite(name)
    dpo, lora, simpo = (load_method(method, suite=suite) for method in ("dpo", "lora-dpo", "simpo"))
    assert (dpo.train.lr, dpo.loss.beta, dpo.train.batch_size, dpo.train.epochs) == (5e-7, 0.01, 128, 1)
    assert (lora.train.lr, lora.adapter.options["r"], lora.adapter.options["lora_dropout"]) == (5e-6, 128, 0.05)
    known = {"llama3-8b": (6e-7, 0.5), "mistral-7b": (3e-7, 0.8)}
    assert (simpo.train.lr, simpo.loss.options["gamma_beta_ratio"], simpo.loss.beta) == (*known[name], 2.0)
    assert 1e-4 <= load_method("ropo", suite=suite).train.lr <= 8e-4
    assert all(method.train.dtype == "bfloat16" for method in (dpo, lora, simpo))


@pytest.mark.parametrize(("name", "temperature"), [("llama3-8b", 0.9), ("mistral-7b", 0.7)])
def test_a_suite_decodes_as_its_backbone_was_published(name: str, temperature: float) -> None:
    suite, task = load_suite(name), load_task("alpaca-eval-2")
    changed = suite.with_decoding(task)
    assert changed.decoding is not None
    assert task.decoding is not None
    assert changed.decoding.temperature == temperature
    assert changed.decoding.top_p == task.decoding.top_p
    assert suite.with_decoding(load_task("mt-bench")) == load_task("mt-bench")


def test_a_task_that_decodes_nothing_cannot_be_decoded_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "description: x\nbase: pocket:sft\ndata: pocket:preference\ntasks: [energy]\n"
        "decoding: {energy: {temperature: 0.5}}\n"
    )
    with pytest.raises(UsageError, match="energy decodes nothing"):
        load_suite(path).with_decoding(load_task("energy"))
    path.write_text(path.read_text().replace("temperature", "temprature"))
    with pytest.raises(UsageError, match=r"unknown key 'temprature' in decoding\.energy"):
        load_suite(path)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("base", ["pocket", "gqa"])
def test_a_formula_counts_what_the_adapter_trains(method: str, base: str, tmp_path: Path) -> None:
    from ropo_bench.adapters import count_parameters

    folder = POCKET_ASSETS / "sft"
    if base == "gqa":
        folder = tmp_path
        model = new_llama()
        model.save_pretrained(folder)
    found, adapter = of_folder(folder), load_method(method).adapter
    trainable, total = count_parameters(folder, adapter)
    assert found.num_parameters == total
    if base == "gqa" and adapter.name == "oft":  # PEFT changes a block size that does not divide the width
        assert trainable_parameters(found, adapter) is None
    else:
        assert trainable_parameters(found, adapter) == trainable


def test_a_shape_and_a_folder_of_it_agree(tmp_path: Path) -> None:
    model = new_llama()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    from_files = of_folder(tmp_path)
    assert from_files.shape is not None
    from_shape = of_shape(from_files.shape)
    assert from_shape.num_parameters == from_files.num_parameters == sum(p.numel() for p in model.parameters())
    assert dict(from_shape.linears) == dict(from_files.linears)


def test_a_fused_or_patterned_target_counts_too() -> None:
    shape = ShapeRecipe(
        hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=100,
    )  # fmt: skip
    dpo = load_method("lora-dpo").adapter
    first = dpo.model_copy(update={"target_modules": r"model\.layers\.0\..*q_proj"})
    every = dpo.model_copy(update={"target_modules": "all-linear"})
    assert trainable_parameters(of_shape(shape), first) == 128 * (64 + 64)
    assert trainable_parameters(of_shape(shape), every) == trainable_parameters(of_shape(shape), dpo)
    other = dpo.model_copy(update={"options": {"r": 4, "bias": "all"}})
    assert trainable_parameters(of_shape(shape), other) is None


def test_what_is_not_on_the_machine_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert local_model("princeton-nlp/Llama-3-Base-8B-SFT") is None
    assert local_model("pocket:sft") == POCKET_ASSETS / "sft"
    with pytest.raises(UsageError, match="no such folder"):
        local_model("./nothing")


def test_a_snapshot_counts_when_all_its_shards_are_there(base_folder: Path, tmp_path: Path) -> None:
    import json
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(base_folder, folder)
    assert missing_files(folder) == []
    index: dict[str, Any] = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert missing_files(folder) == ["model-00002.safetensors"]
    shutil.rmtree(folder)
    folder.mkdir()
    assert missing_files(folder) == ["config.json", "tokenizer_config.json", "*.safetensors"]


def test_a_cut_safetensors_file_is_one_clear_line(base_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(base_folder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:40])
    with pytest.raises(UsageError, match="fetch it again"):
        of_folder(folder)
