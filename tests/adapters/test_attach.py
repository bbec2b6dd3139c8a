"""`attach` trains what the recipe says, counts it without weights, and explains what it cannot do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import nn
from transformers import LlamaConfig

from ropo_bench.adapters import adapter_config, attach, count_parameters, rotations
from ropo_bench.errors import UsageError
from ropo_bench.models.geometry import orthogonality_error
from ropo_bench.recipes.method import AdapterRecipe

LLAMA_3_8B = LlamaConfig(
    vocab_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
)


@pytest.mark.parametrize(
    ("options", "trainable"),
    [
        ({}, 688_000),  # 32 x ((2 x 4095 + 4096) + (2 x 4095 + 1024)), the paper's 0.0086 %
        ({"reverse": False}, 688_000 - 32 * 2 * 4095),
        ({"magnitude": False}, 32 * 4 * 4095),
        ({"planes": "mirror"}, 688_000),
    ],
)
def test_count_on_the_shape_of_llama_3_8b(tmp_path: Path, options: dict[str, Any], trainable: int) -> None:
    LLAMA_3_8B.save_pretrained(tmp_path)
    assert count_parameters(tmp_path, AdapterRecipe(name="ropo", options=options)) == (trainable, 8_030_261_248)


def test_count_of_the_other_adapters() -> None:
    total = 8_030_261_248
    assert count_parameters(LLAMA_3_8B, AdapterRecipe(name="full")) == (total, total)
    lora = AdapterRecipe(name="lora", options={"r": 16})
    assert count_parameters(LLAMA_3_8B, lora) == (32 * 16 * (4096 + 4096 + 4096 + 1024), total)
    oft = AdapterRecipe(name="oft", options={"oft_block_size": 32})
    assert count_parameters(LLAMA_3_8B, oft) == (32 * 2 * 128 * (32 * 31 // 2), total)


def test_count_without_a_config_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read a model config .*config\.json"):
        count_parameters(tmp_path / "nowhere", AdapterRecipe(name="ropo"))


def test_full_trains_everything_in_the_model_itself(llama: Any) -> None:
    llama.requires_grad_(False)
    assert attach(llama, AdapterRecipe(name="full")) is llama
    assert all(p.requires_grad for p in llama.parameters())


def test_a_users_own_peft_config_attaches_by_module_and_object(llama: Any) -> None:
    recipe = AdapterRecipe(name="peft:VeraConfig", target_modules=["q_proj"], options={"r": 4})
    model = attach(llama, recipe)
    assert isinstance(model, peft.PeftModel)
    assert isinstance(model.peft_config["default"], peft.VeraConfig)


def test_oft_is_orthogonal_unless_asked_otherwise(llama: Any) -> None:
    assert adapter_config(AdapterRecipe(name="oft")).use_cayley_neumann is False
    assert adapter_config(AdapterRecipe(name="oft", options={"use_cayley_neumann": True})).use_cayley_neumann
    model = attach(llama, AdapterRecipe(name="oft", options={"oft_block_size": 16}))
    for name, parameter in model.named_parameters():
        if "oft_R" in name:
            nn.init.normal_(parameter, std=0.3)
    errors = [orthogonality_error(rotation()) for _, rotation in rotations(model)]
    assert len(errors) == 4
    assert max(errors) < 1e-5
    assert not torch.equal(rotations(model)[0][1](), torch.eye(48))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"name": "lora", "options": {"lora_alfa": 8}}, "unknown option 'lora_alfa'; did you mean 'lora_alpha'"),
        ({"name": "oft", "options": {"modules_to_save": ["lm_head"]}}, "unknown option 'modules_to_save'"),
        ({"name": "oft", "options": {"r": 8, "oft_block_size": 4}}, "adapter oft: options .*not both"),
        ({"name": "lora", "options": {"r": 0}}, "adapter lora: .*positive"),
        ({"name": "ropo", "target_modules": ["q_prj", "v_proj"]}, "matches 'q_prj'; did you mean 'q_proj'"),
        ({"name": "ropo", "target_modules": "nothing"}, "no module of the model matches 'nothing'.*q_proj"),
        ({"name": "ropo", "target_modules": ["embed_tokens"]}, r"only unquantised nn\.Linear"),
        ({"name": "peft:LoraModel"}, "must name a class derived from peft.PeftConfig"),
        ({"name": "no_such_module:Config"}, "cannot import no_such_module"),
    ],
)
def test_a_wrong_recipe_is_a_usage_error(llama: Any, recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        attach(llama, AdapterRecipe(**recipe))


def test_touching_ropo_config_registers_it_and_importing_the_package_does_not_import_torch(tmp_path: Path) -> None:
    code = """
import sys, ropo_bench
assert "torch" not in sys.modules
config = ropo_bench.RopoConfig(target_modules=["q_proj"])
import peft
config.save_pretrained(sys.argv[1])
assert type(peft.PeftConfig.from_pretrained(sys.argv[1])) is ropo_bench.RopoConfig
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)
