"""Laws of the cheaper layers: the same values and gradients as transformers' own modules, under every wrapper."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, OFTConfig, get_peft_model
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from ropo_bench.adapters import RopoConfig
from ropo_bench.training.core import elementwise, layers

IDS = torch.arange(1, 27).reshape(2, 13)
TARGETS = ["q_proj", "v_proj"]
ADAPTERS: dict[str, Any] = {
    "full": None,
    "lora": LoraConfig(r=4, target_modules=[*TARGETS, "gate_proj"], init_lora_weights=False),
    "oft": OFTConfig(oft_block_size=4, target_modules=TARGETS, use_cayley_neumann=False),
    "ropo": RopoConfig(target_modules=TARGETS),
}
MODELS = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}
compiled = pytest.mark.skipif(elementwise.library() is None, reason="no C compiler with OpenMP")


def new_model(kind: str = "llama", adapter: str = "lora") -> Any:
    """Two layers of odd sizes with random norms, adapted."""
    torch.manual_seed(0)
    config, model = MODELS[kind]
    made = model(
        config(
            vocab_size=64, hidden_size=48, intermediate_size=83, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=12, tie_word_embeddings=False, pad_token_id=0,
        )
    )  # fmt: skip
    for name, parameter in made.named_parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.3)
    return made if ADAPTERS[adapter] is None else get_peft_model(made, copy.deepcopy(ADAPTERS[adapter]))


def pass_both_ways(model: Any, **inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits and the gradient of every trainable parameter."""
    model.zero_grad()
    logits = model(input_ids=IDS, use_cache=False, **inputs).logits.float()
    logits.log_softmax(-1)[..., 7].sum().backward()
    return logits.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_same(got: Any, expected: Any, rtol: float = 2e-5) -> None:
    """Equal to `rtol` of each tensor's largest number."""
    assert got[1].keys() == expected[1].keys()
    for name in [None, *got[1]]:
        a, b = (got[0], expected[0]) if name is None else (got[1][name], expected[1][name])
        assert (a - b).abs().max() <= rtol * b.abs().max(), name


@compiled
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_values_and_gradients_are_transformers_own(kind: str, adapter: str) -> None:
    model = new_model(kind, adapter)
    expected = pass_both_ways(model)
    layers.install(model)
    own = [module for module in model.modules() if "forward" in vars(module)]
    norms = 5 if kind != "qwen3" else 9
    linears = 2 * (7 + (2 * 3 if adapter == "lora" else 0))
    assert len(own) == norms + 2 * 2 + linears + 1
    assert_same(pass_both_ways(model), expected)
    layers.remove(model)
    assert not any("forward" in vars(module) for module in model.modules())
    assert torch.equal(pass_both_ways(model)[0], expected[0])


@pytest.mark.parametrize("adapter", ["lora", "ropo"])
def test_padding_positions_and_checkpointing_change_nothing(adapter: str) -> None:
    model = new_model("qwen3", adapter).train()
    mask = torch.ones_like(IDS)
    mask[1, 9:] = 0
    inputs = {"attention_mask": mask, "position_ids": torch.stack([torch.arange(13), torch.arange(13).roll(4)])}
    expected = pass_both_ways(model, **inputs)
    layers.install(model)
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert_same(pass_both_ways(model, **inputs), expected)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_under_autocast_nothing_is_less_exact(kind: str) -> None:
    """Against fp32, the installed layers are no further off under bf16 autocast than transformers' own."""
    model = new_model(kind)
    exact = pass_both_ways(model)
    with torch.autocast("cpu", torch.bfloat16):
        theirs = pass_both_ways(model)
        layers.install(model)
        ours = pass_both_ways(model)
        again = pass_both_ways(model)
    assert torch.equal(ours[0], again[0])
    for name, gradient in exact[1].items():
        limit = 1.5 * (theirs[1][name] - gradient).norm() + 1e-3 * gradient.norm()
        assert (ours[1][name] - gradient).norm() <= limit, name
    assert (ours[0] - theirs[0]).abs().max() <= 0.02 * theirs[0].abs().max()


def test_attach_keeps_the_logits_bit_for_bit() -> None:
    base = new_model(adapter="full").requires_grad_(False)
    layers.install(base)
    adapted = get_peft_model(copy.deepcopy(base), LoraConfig(r=4, target_modules=TARGETS))
    rotated = get_peft_model(copy.deepcopy(base), RopoConfig(target_modules=TARGETS))
    with torch.no_grad():
        expected = base(IDS).logits
        assert torch.equal(adapted(IDS).logits, expected)
        assert torch.equal(rotated(IDS).logits, expected)


def test_a_copy_computes_with_its_own_weights() -> None:
    model = new_model()
    layers.install(model)
    twin = copy.deepcopy(model)
    before = model(IDS).logits
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
    assert torch.equal(model(IDS).logits, before)
    expected = twin(IDS).logits
    layers.remove(twin)
    torch.testing.assert_close(twin(IDS).logits, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(expected, before, atol=1e-2)


def test_weights_saved_and_merged_are_the_same(tmp_path: Path) -> None:
    plain, model = new_model(), new_model()
    layers.install(model)
    assert plain.state_dict().keys() == model.state_dict().keys()
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    merged, expected = model.merge_and_unload(), plain.merge_and_unload()
    for name, weight in expected.state_dict().items():
        assert torch.equal(merged.state_dict()[name], weight)
    torch.testing.assert_close(merged(IDS).logits, expected(IDS).logits, rtol=1e-5, atol=1e-5)


def test_generation_with_a_cache_is_unchanged() -> None:
    model = new_model("mistral").eval()
    settings = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(input_ids=IDS, **settings)
    layers.install(model)
    assert torch.equal(model.generate(input_ids=IDS, **settings), expected)


def test_doubles_and_bf16_weights_take_transformers_own_way() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        model = new_model().to(dtype)
        expected = pass_both_ways(model)
        layers.install(model)
        assert_same(pass_both_ways(model), expected, rtol=1e-12 if dtype == torch.float64 else 0.05)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_last_layer_makes_scored_positions_only(kind: str, checkpointing: bool) -> None:
    model = new_model(kind, "ropo").train()
    trunk, parameters = model.get_base_model().base_model, [p for p in model.parameters() if p.requires_grad]
    scored = torch.tensor([3, 4, 4, 12, 25])  # a prompt's last token predicts the first of two completions
    weight = torch.randn(5, 48)

    def passes(**inputs: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        hidden = trunk(input_ids=IDS, use_cache=False, **inputs).last_hidden_state
        hidden = hidden[0] if inputs else hidden.flatten(0, 1)[scored]
        return hidden.detach(), torch.autograd.grad((hidden * weight).sum(), parameters)

    expected = passes()
    assert not layers.takes_scored(model)
    layers.install(model)
    assert layers.takes_scored(model)
    if checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    hidden, gradients = passes(scored=scored)
    torch.testing.assert_close(hidden, expected[0], rtol=1e-5, atol=1e-5)
    for a, b in zip(gradients, expected[1], strict=True):
        assert (a - b).abs().max() <= 2e-5 * b.abs().max() + 1e-7


def test_other_architectures_are_left_alone() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2))
    layers.install(model)
    assert not any("forward" in vars(module) for module in model.modules())


def test_without_a_compiler_the_layers_are_transformers_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    elementwise.library.cache_clear()
    try:
        model = new_model()
        expected = pass_both_ways(model)
        layers.install(model)
        assert_same(pass_both_ways(model), expected)
        assert {type(module) for module in model.modules() if "forward" in vars(module)} == {
            nn.Linear,
            LlamaDecoderLayer,
        }
        assert "no-such-compiler" in caplog.text
    finally:
        elementwise.library.cache_clear()
