"""A model is what its folder says: weights that are missing, left over, misshapen or no numbers are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ropo_bench.errors import UsageError
from ropo_bench.models.checks import check_model
from ropo_bench.models.load import load_model
from tests import tiny_suite
from tests.cases.model_folders import SIZES, copy_folder, edit_config, edit_weights, save_model
from tests.test_pipeline import finish, ropo_bench

GATE = "model.layers.1.mlp.gate_proj.weight"
Break = Callable[[Path], Path]


def drop(name: str) -> Break:
    return lambda folder: edit_weights(folder, lambda tensors: tensors.pop(name))


def put(name: str, value: torch.Tensor) -> Break:
    return lambda folder: edit_weights(folder, lambda tensors: tensors.update({name: value}))


def spoil(name: str, value: float) -> Break:
    return lambda folder: edit_weights(folder, lambda tensors: tensors[name].view(-1).__setitem__(7, value))


BROKEN: dict[str, tuple[Break, str]] = {
    "more layers than weights": (
        lambda folder: edit_config(folder, num_hidden_layers=4),
        r"18 are missing: model\.layers\.2\.input_layernorm\.weight, .* and 15 more",
    ),
    "fewer layers than weights": (
        lambda folder: edit_config(folder, num_hidden_layers=1),
        r"9 are left over: model\.layers\.1\.input_layernorm\.weight",
    ),
    "a missing matrix": (drop(GATE), rf"1 are missing: {GATE}\)"),
    "a missing norm": (drop("model.norm.weight"), r"1 are missing: model\.norm\.weight"),
    "missing embeddings and a tied head": (drop("model.embed_tokens.weight"), r"are missing: .*embed_tokens"),
    "a matrix of another width": (
        lambda folder: edit_config(folder, intermediate_size=96),
        r"6 have another shape: .*down_proj\.weight \(\[48, 80\] in the files, \[48, 96\] by the config\)",
    ),
    "an adapter's tensor": (put("model.layers.0.lora_A.weight", torch.zeros(4, 48)), r"1 are left over: .*lora_A"),
    "one NaN": (spoil(GATE, float("nan")), rf"1 of its weights hold NaN or infinity \({GATE}\)"),
    "one infinity": (spoil("model.norm.weight", float("-inf")), r"NaN or infinity \(model\.norm\.weight\)"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_folder_that_is_not_what_it_says_is_refused_by_both_ways(
    kind: str, base_folder: Path, tmp_path: Path
) -> None:
    change, told = BROKEN[kind]
    folder = change(copy_folder(base_folder, tmp_path / "broken"))
    with pytest.raises(UsageError, match=told) as caught:
        check_model(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=told):
        load_model(folder, "float32")


def families() -> dict[str, Any]:
    import transformers as t

    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 12}
    eyes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = t.Gemma3TextConfig(**SIZES, head_dim=12, sliding_window=64).to_dict()
    sight = {**eyes, "image_size": 16, "patch_size": 8}
    return {
        "gpt2": t.GPT2Config(vocab_size=262, n_embd=48, n_layer=2, n_head=4, n_positions=512),
        "qwen3-moe": t.Qwen3MoeConfig(**SIZES, **experts),
        "mixtral": t.MixtralConfig(**SIZES, num_local_experts=4),
        "gemma3": t.Gemma3Config(text_config=text, vision_config=sight, mm_tokens_per_image=4),
        "mamba": t.MambaConfig(vocab_size=262, hidden_size=48, num_hidden_layers=2),
    }


@pytest.mark.parametrize("family", ["gpt2", "qwen3-moe", "mixtral", "gemma3", "mamba"])
def test_sound_folders_of_other_architectures_are_accepted(family: str, tokenizer: Any, tmp_path: Path) -> None:
    folder = save_model(families()[family], tokenizer, tmp_path)
    check_model(folder)
    load_model(folder, "float32")


def test_one_expert_less_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    folder = save_model(families()["mixtral"], tokenizer, tmp_path)
    edit_weights(folder, lambda t: t.pop("model.layers.1.block_sparse_moe.experts.2.w1.weight"))
    with pytest.raises(UsageError, match=str(folder)):
        check_model(folder)
    with pytest.raises(UsageError, match=str(folder)):
        load_model(folder, "float32")


def test_a_missing_image_tower_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    folder = save_model(families()["gemma3"], tokenizer, tmp_path)

    def blind(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if "vision" in name]:
            del tensors[name]

    edit_weights(folder, blind)
    with pytest.raises(UsageError, match=r"are missing: .*vision"):
        check_model(folder)


def test_buffers_of_old_checkpoints_are_no_weights(base_folder: Path, tokenizer: Any, tmp_path: Path) -> None:
    old = copy_folder(base_folder, tmp_path / "llama")
    edit_weights(old, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(6)}))
    check_model(old)
    load_model(old, "float32")
    gpt2 = save_model(families()["gpt2"], tokenizer, tmp_path / "gpt2")
    edit_weights(gpt2, lambda t: t.update({"transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8)}))
    check_model(gpt2)
    load_model(gpt2, "float32")


def test_a_copy_of_the_tied_head_is_accepted_and_another_head_refused(base_folder: Path, tmp_path: Path) -> None:
    def copied(tensors: dict[str, Any], shift: float) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone() + shift

    same = edit_weights(copy_folder(base_folder, tmp_path / "same"), lambda t: copied(t, 0.0))
    check_model(same)
    load_model(same, "float32")
    other = edit_weights(copy_folder(base_folder, tmp_path / "other"), lambda t: copied(t, 1.0))
    with pytest.raises(UsageError, match=r"ties the head .* two that differ"):
        load_model(other, "float32")


def test_encoders_are_refused(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM, BertModel

    config = BertConfig(**{**SIZES, "type_vocab_size": 2})
    for kind, told in ((BertModel, r"are missing: cls\."), (BertForMaskedLM, "a bert encoder")):
        folder = tmp_path / kind.__name__
        kind(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for refuse in (check_model, lambda folder: load_model(folder, "float32")):
            with pytest.raises(UsageError, match=told):
                refuse(folder)


def test_a_classifier_is_no_language_model(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    LlamaForSequenceClassification(LlamaConfig(**SIZES)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match=r"1 are missing: lm_head\.weight; 1 are left over: score\.weight"):
        check_model(tmp_path)


def test_a_number_too_large_for_the_dtype_is_found_when_it_is_loaded(base_folder: Path, tmp_path: Path) -> None:
    folder = spoil(GATE, 1e5)(copy_folder(base_folder, tmp_path / "large"))
    load_model(folder, "float32")
    with pytest.raises(UsageError, match=rf"NaN or infinity \({GATE}\)"):
        load_model(folder, "float16")


@pytest.mark.parametrize("kind", ["more layers than weights", "a missing norm", "one NaN"])
def test_vllm_and_local_judges_are_not_started_on_such_a_folder(kind: str, base_folder: Path, tmp_path: Path) -> None:
    from ropo_bench.generation.vllm import VllmEngine
    from ropo_bench.judging import local
    from ropo_bench.recipes.suite import VllmRecipe

    change, told = BROKEN[kind]
    folder = change(copy_folder(base_folder, tmp_path / "broken"))
    with pytest.raises(UsageError, match=told):
        VllmEngine(folder, "float32", VllmRecipe())
    with pytest.raises(UsageError, match=rf"judge mine: model .*{told}"):
        local.check_weights("judge mine", folder)


@pytest.mark.parametrize("kind", ["more layers than weights", "one NaN"])
def test_eval_of_such_a_base_is_exit_2_and_scores_nothing(kind: str, base_folder: Path, tmp_path: Path) -> None:
    change, _ = BROKEN[kind]
    base = change(copy_folder(base_folder, tmp_path / "base"))
    options = tiny_suite.write(tmp_path / "suite", base)
    code, out, err = finish(ropo_bench("eval", str(base), "--name", "mine", *options, "--json", cwd=tmp_path))
    assert (code, out) == (2, ""), err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: model ")
    assert not list(tmp_path.rglob("scores.jsonl"))
    assert not list(tmp_path.rglob("completions.jsonl"))


def test_eval_of_such_a_checkpoint_is_exit_2_and_scores_nothing(base_folder: Path, tmp_path: Path) -> None:
    checkpoint = drop(GATE)(copy_folder(base_folder, tmp_path / "checkpoint"))
    options = tiny_suite.write(tmp_path / "suite", base_folder)
    code, out, err = finish(ropo_bench("eval", str(checkpoint), "--name", "mine", *options, "--json", cwd=tmp_path))
    assert (code, out) == (2, ""), err
    assert GATE in err
    assert not list(tmp_path.rglob("scores.jsonl"))
