"""RoPO lives the whole PEFT life: attach, save, load, disable, merge, unmerge, several adapters."""

from __future__ import annotations

from pathlib import Path

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from ropo_bench.adapters import RopoConfig
from ropo_bench.adapters.ropo import RopoLinear
from ropo_bench.adapters.ropo.givens import dense
from ropo_bench.errors import UsageError

IDS = torch.arange(24).reshape(2, 12)


def tiny_llama(dtype: torch.dtype = torch.float32, bias: bool = False) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_bias=bias,
    )
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return model.to(dtype).eval()


def move(model: nn.Module, seed: int = 1) -> nn.Module:
    """Give every adapter parameter a value as after training."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "ropo_" in name:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def with_ropo(model: nn.Module, **options: object) -> peft.PeftModel:
    return peft.get_peft_model(model, RopoConfig(target_modules=["q_proj", "v_proj"], **options)).eval()


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    return model(IDS).logits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_attach_changes_no_bit(dtype: torch.dtype, bias: bool) -> None:
    base = logits(tiny_llama(dtype, bias))
    assert torch.equal(logits(with_ropo(tiny_llama(dtype, bias))), base)


@pytest.mark.parametrize("planes", ["shared", "mirror"])
@pytest.mark.parametrize("magnitude", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_forward_is_the_formula(planes: str, magnitude: bool, reverse: bool, bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(13, 7, bias=bias)
    frozen = linear.weight.detach().clone()
    config = RopoConfig(planes=planes, magnitude=magnitude, reverse=reverse)
    layer = move(RopoLinear(linear, "default", config))
    r = dense(
        layer.ropo_theta_forward["default"],
        layer.ropo_theta_reverse["default"] if reverse else None,
        planes,
    )
    norm = frozen.norm(dim=1)
    m = layer.ropo_magnitude["default"] if magnitude else norm
    x = torch.randn(2, 5, 13)
    z = m * ((x @ r) @ (frozen / norm[:, None]).T) + (linear.bias if bias else 0)  # rows of x @ R are R^T x
    torch.testing.assert_close(layer(x), z)
    torch.testing.assert_close(layer.rotation("default"), r.detach())
    assert [n for n, _ in layer.named_parameters() if "ropo" in n] == [
        "ropo_theta_forward.default",
        *(["ropo_theta_reverse.default"] if reverse else []),
        *(["ropo_magnitude.default"] if magnitude else []),
    ]


def test_magnitude_starts_as_the_row_norms_and_a_zero_row_stays_zero() -> None:
    linear = nn.Linear(6, 3, bias=False)
    linear.weight.data[1] = 0
    layer = RopoLinear(linear, "default", RopoConfig())
    assert torch.equal(layer.ropo_magnitude["default"].detach(), linear.weight.detach().norm(dim=1))
    assert torch.equal(layer(torch.ones(1, 6)), linear(torch.ones(1, 6)))


def test_only_angles_and_magnitudes_train_and_all_of_them_get_a_gradient() -> None:
    model = with_ropo(tiny_llama())
    model(IDS, labels=IDS).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == ("ropo_" in name), name
        assert (parameter.grad is not None and bool(parameter.grad.any())) == ("ropo_" in name), name


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_save_and_load_keeps_every_bit(
    tmp_path: Path, dtype: torch.dtype, autocast: bool, low_cpu_mem_usage: bool
) -> None:
    saved = move(with_ropo(tiny_llama(dtype), planes="mirror"))
    saved.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(
        tiny_llama(dtype),
        tmp_path,
        autocast_adapter_dtype=autocast,
        low_cpu_mem_usage=low_cpu_mem_usage,
        is_trainable=True,
    ).eval()
    assert {p.dtype for n, p in loaded.named_parameters() if "ropo_" in n} == {torch.float32}
    assert torch.equal(logits(loaded), logits(saved))
    assert loaded.peft_config["default"].planes == "mirror"


def test_adapter_stays_float32_when_peft_does_not_autocast() -> None:
    config = RopoConfig(target_modules=["q_proj"])
    model = peft.get_peft_model(tiny_llama(torch.bfloat16), config, autocast_adapter_dtype=False)
    assert {p.dtype for n, p in model.named_parameters() if "ropo_" in n} == {torch.float32}


@pytest.mark.parametrize("bias", [False, True])
def test_disable_merge_and_unmerge(bias: bool) -> None:
    base = logits(tiny_llama(bias=bias))
    model = move(with_ropo(tiny_llama(bias=bias)))
    adapted = logits(model)
    assert (adapted - base).abs().max() > 1e-3
    with model.disable_adapter():
        assert torch.equal(logits(model), base)
    model.merge_adapter(safe_merge=True)
    torch.testing.assert_close(logits(model), adapted, atol=1e-5, rtol=0)
    with model.disable_adapter():
        assert torch.equal(logits(model), base)  # unmerges
    assert torch.equal(logits(model), adapted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unmerge_restores_every_bit_and_merge_and_unload_leaves_a_plain_model(dtype: torch.dtype) -> None:
    model = move(with_ropo(tiny_llama(dtype)))
    adapted = logits(model)
    for _ in range(3):
        model.merge_adapter()
        model.unmerge_adapter()
    assert torch.equal(logits(model), adapted)
    plain = model.merge_and_unload()
    assert type(plain) is LlamaForCausalLM
    assert not any("ropo" in name or "base_layer" in name for name in plain.state_dict())
    assert plain.dtype == dtype
    torch.testing.assert_close(logits(plain), adapted, atol=1e-5 if dtype == torch.float32 else 0.05, rtol=0)


def test_safe_merge_refuses_a_broken_adapter() -> None:
    model = with_ropo(tiny_llama())
    model.base_model.model.model.layers[0].self_attn.q_proj.ropo_magnitude["default"].data[3] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        model.merge_adapter(safe_merge=True)


def test_several_adapters_one_active(tmp_path: Path) -> None:
    first, second = (
        move(with_ropo(tiny_llama()), seed=1),
        move(with_ropo(tiny_llama(), reverse=False), seed=2),
    )
    for name, model in (("first", first), ("second", second)):
        model.save_pretrained(tmp_path / name)
    both = peft.PeftModel.from_pretrained(tiny_llama(), tmp_path / "first", adapter_name="first")
    both.merge_adapter()  # m of an adapter that is added now must still come from the unmerged weight
    both.load_adapter(tmp_path / "second", adapter_name="second")
    both.add_adapter("fresh", RopoConfig(target_modules=["q_proj", "v_proj"]))
    both.set_adapter("second")
    assert torch.equal(logits(both), logits(second))
    both.set_adapter("first")
    assert torch.equal(logits(both), logits(first))
    both.set_adapter("fresh")
    assert torch.equal(logits(both), logits(tiny_llama()))
    both.delete_adapter("fresh")
    with pytest.raises(UsageError, match=r"first, second: only one can be active"):
        both.base_model.set_adapter(["first", "second"])
    with pytest.raises(UsageError, match="composition of two adapters is undefined"):
        both.merge_adapter(["first", "second"])
    both.set_adapter("first")
    both.merge_adapter()
    with pytest.warns(UserWarning, match="additionally"), pytest.raises(UsageError, match="only one"):
        both.merge_adapter(["second"])


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    grads = []
    for checkpointing in (False, True):
        model = move(with_ropo(tiny_llama())).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            model.enable_input_require_grads()
        model(IDS, labels=IDS).loss.backward()
        grads.append([p.grad for n, p in model.named_parameters() if "ropo_" in n])
    torch.testing.assert_close(grads[0], grads[1])


def test_bfloat16_autocast_runs_forward_and_backward() -> None:
    model = move(with_ropo(tiny_llama()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(IDS, labels=IDS).loss
    loss.backward()
    reference = move(with_ropo(tiny_llama()))(IDS, labels=IDS).loss
    torch.testing.assert_close(loss, reference, atol=0.02, rtol=0)


def test_only_linear_modules_and_known_planes() -> None:
    with pytest.raises(UsageError, match="embed_tokens is a Embedding"):
        peft.get_peft_model(tiny_llama(), RopoConfig(target_modules=["embed_tokens"]))
    with pytest.raises(UsageError, match="must be shared or mirror"):
        RopoConfig(planes="mirrored")


def test_targets_default_to_the_architecture_and_all_linear_works() -> None:
    names = [n for n, _ in peft.get_peft_model(tiny_llama(), RopoConfig()).named_parameters() if "forward" in n]
    assert {n.split(".")[-3] for n in names} == {"q_proj", "v_proj"}
    everywhere = peft.get_peft_model(tiny_llama(), RopoConfig(target_modules="all-linear"))
    assert torch.equal(logits(everywhere.eval()), logits(tiny_llama()))
    assert sum(isinstance(m, RopoLinear) for m in everywhere.modules()) == 14
