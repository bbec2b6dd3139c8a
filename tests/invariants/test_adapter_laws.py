"""Laws of every adapter: all methods/*.yaml, so that a new row is tested the day it lands, and both planes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from ropo_bench.adapters import attach, count_parameters, rotations
from ropo_bench.merging.merge import merge, merged_weights
from ropo_bench.models.geometry import energy_drift, neuron_angle_drift, orthogonality_error
from ropo_bench.recipes.load import list_recipes, load_method
from ropo_bench.recipes.method import AdapterRecipe

IDS = torch.arange(60).reshape(3, 20)
SHAPES = {  # hidden, intermediate, heads, key-value heads: a power of two, and one with no power of two in it
    "even": (64, 128, 4, 4),
    "odd": (48, 80, 4, 2),
}
ROTATIONS = ("ropo", "oft", "hra", "boft")
APPROXIMATE = "oft-neumann"  # a truncated series is only nearly a rotation
ROUNDED = {
    "pissa": (1e-6, 2e-2),  # its weights are split in two
    "hra": (1e-6, 2e-2),  # pairs of reflections cancel
    "dora": (1e-6, 2e-2),  # neurons are divided by their norms and multiplied by them
}
"""Methods whose logits at attach are the base's but for rounding: how far, in float32 and in bfloat16."""

every_method = pytest.mark.parametrize("method", list_recipes("methods"))
every_shape = pytest.mark.parametrize("shape", SHAPES)
every_rotation = pytest.mark.parametrize(
    "method",
    [name for name in list_recipes("methods") if load_method(name).adapter.name in ROTATIONS and name != APPROXIMATE],
)


def config(shape: str) -> LlamaConfig:
    hidden, intermediate, heads, kv_heads = SHAPES[shape]
    return LlamaConfig(
        vocab_size=262,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
    )


def base(shape: str, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(config(shape)).to(dtype).eval()


def moved(shape: str, method: str) -> nn.Module:
    """The method's policy with every trainable parameter moved, as after training."""
    policy = attach(base(shape), load_method(method).adapter).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in policy.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return policy


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    return model(IDS).logits


@every_method
@every_shape
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_at_attach_are_the_base_models_bit_for_bit(method: str, shape: str, dtype: torch.dtype) -> None:
    policy = attach(base(shape, dtype), load_method(method).adapter).eval()
    if method in ROUNDED:
        bound = ROUNDED[method][dtype == torch.bfloat16]
        torch.testing.assert_close(logits(policy), logits(base(shape, dtype)), atol=bound, rtol=0)
    else:
        assert torch.equal(logits(policy), logits(base(shape, dtype)))


@every_method
@every_shape
def test_merged_logits_are_the_policys(method: str, shape: str, base_folder: Path, tmp_path: Path) -> None:
    policy = moved(shape, method)
    merge(base_folder, policy, tmp_path, "float32")
    before = logits(policy)
    assert (before - logits(base(shape))).abs().max() > 1e-3
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path).eval()), before, atol=2e-5, rtol=0
    )


@every_method
@every_shape
def test_save_and_load_give_the_same_logits(method: str, shape: str, tmp_path: Path) -> None:
    policy = moved(shape, method)
    policy.save_pretrained(tmp_path)
    if isinstance(policy, PeftModel):
        loaded = PeftModel.from_pretrained(base(shape), tmp_path)
    else:
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    if method == "coft":  # every forward pass projects the weights, and once more rounds them once more
        torch.testing.assert_close(logits(loaded.eval()), logits(policy), atol=1e-6, rtol=0)
    else:
        assert torch.equal(logits(loaded.eval()), logits(policy))


OTHERS: dict[str, Callable[[dict[str, Any], int, int, bool], int]] = {
    "vera": lambda o, d_in, d_out, down: o["r"] + d_out,
    "delora": lambda o, d_in, d_out, down: o["r"] * (d_in + d_out) + 1,
    "miss": lambda o, d_in, d_out, down: o["r"] * d_out,
    "ia3": lambda o, d_in, d_out, down: d_in if down else d_out,
    "boft": lambda o, d_in, d_out, down: d_in // o["boft_block_size"] * o["boft_block_size"] ** 2 + d_out,
    "hra": lambda o, d_in, d_out, down: o["r"] * d_in,
    "road": lambda o, d_in, d_out, down: 2 * (d_out // 2),
    "psoft": lambda o, d_in, d_out, down: o["r"] * (o["r"] - 1) // 2 + 2 * o["r"],
}


def formula(recipe: AdapterRecipe, model: nn.Module) -> int:
    """Trainable parameters by the papers' formulas over the targeted shapes."""
    if recipe.name == "full":
        return sum(p.numel() for p in model.parameters())
    options: dict[str, Any] = recipe.options
    count = 0
    for name, module in model.named_modules():
        if not name.endswith(tuple(recipe.target_modules)):
            continue
        d_out, d_in = module.weight.shape
        if recipe.name == "lora":
            r = min(options["r"], d_in, d_out) if "init_lora_weights" in options else options["r"]
            count += r * (d_in + d_out) + (d_out if options.get("use_dora") else 0)
        elif recipe.name in OTHERS:
            count += OTHERS[recipe.name](options, d_in, d_out, name.endswith("down_proj"))
        elif recipe.name == "oft":
            block = options["oft_block_size"]
            block = block if d_in % block == 0 else 24  # PEFT takes the nearest divisor of d_in = 48
            count += d_in // block * (block * (block - 1) // 2)
        else:
            trees, magnitude = 1 + options.get("reverse", True), options.get("magnitude", True)
            count += trees * (d_in - 1) + (d_out if magnitude else 0)
    return count


@every_method
@every_shape
@pytest.mark.filterwarnings("ignore:Invalid `oft_block_size`")
def test_trainable_count_is_the_formula(method: str, shape: str) -> None:
    recipe = load_method(method).adapter
    trainable = sum(p.numel() for p in attach(base(shape), recipe).parameters() if p.requires_grad)
    assert trainable == formula(recipe, base(shape))
    assert count_parameters(config(shape), recipe) == (trainable, base(shape).num_parameters())


@every_rotation
@every_shape
def test_rotations_are_orthogonal_and_keep_angles_and_energy(method: str, shape: str) -> None:
    policy = moved(shape, method)
    matrices = {name: rotation() for name, rotation in rotations(policy)}
    assert len(matrices) == 4
    before, after = base(shape).state_dict(), dict(merged_weights(policy))
    for name, matrix in matrices.items():
        assert orthogonality_error(matrix) < 1e-5
        assert orthogonality_error(matrix - torch.eye(len(matrix))) > 0.1  # it does rotate
        weight = f"{name}.weight"
        assert abs(energy_drift(after[weight], before[weight])) < 1e-6
        assert neuron_angle_drift(after[weight], before[weight]).max < 1e-4


def test_a_truncated_series_is_nearly_a_rotation() -> None:
    errors = [orthogonality_error(rotation()) for _, rotation in rotations(moved("even", APPROXIMATE))]
    assert all(1e-6 < error < 0.1 for error in errors)


def test_a_constrained_rotation_stays_near_the_identity() -> None:
    near, far = (dict(rotations(moved("even", method))) for method in ("coft", "oft"))
    for name in far:
        distances = [(side[name]().detach() - torch.eye(64)).norm().item() for side in (near, far)]
        assert 0 < distances[0] < 0.21  # R - I is about 2 Q, and all blocks together have |Q| at most eps = 0.1
        assert distances[1] > 0.5


def test_full_fine_tuning_keeps_neither_angles_nor_energy() -> None:
    before, after = base("odd").state_dict(), dict(merged_weights(moved("odd", "dpo")))
    name = "model.layers.0.self_attn.q_proj.weight"
    assert abs(energy_drift(after[name], before[name])) > 1e-5
    assert neuron_angle_drift(after[name], before[name]).max > 1e-2
