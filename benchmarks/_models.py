"""The models and methods that are measured: random weights in known shapes; the product's recipes, LoRA at r 16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ropo_bench.models.load import DTYPES
from ropo_bench.recipes.load import load_method, load_suite
from ropo_bench.recipes.method import AdapterRecipe, LossRecipe, MethodRecipe
from ropo_bench.recipes.suite import ShapeRecipe

METHODS = ("dpo", "lora-dpo", "oft", "ropo")
SHAPES = {
    "tiny": ShapeRecipe(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=512,
    ),
    "10m": ShapeRecipe(
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        vocab_size=8000,
    ),
    "100m": ShapeRecipe(
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=12,
        vocab_size=32_000,
    ),
}
BETA = 0.1  # TRL's default: losses move enough in a few steps to be compared
LORA = AdapterRecipe(
    name="lora", target_modules=["q_proj", "v_proj"], options={"r": 16, "lora_alpha": 16, "lora_dropout": 0.0}
)
# Far above the recipes' own rates: a few steps shall move the loss, so that two trajectories can be told apart.
LR = {"dpo": 1e-5, "lora-dpo": 1e-3, "oft": 5e-3, "ropo": 5e-3}


def shape_of(name: str) -> ShapeRecipe:
    """The sizes behind a name of SHAPES or a suite's."""
    if name in SHAPES:
        return SHAPES[name]
    shape = load_suite(name).shape
    assert shape is not None, f"the suite {name} names no shape"
    return shape


def write_config(folder: Path, shape: ShapeRecipe, tokenizer: Any) -> None:
    """config.json of a Llama of this shape."""
    from transformers import LlamaConfig

    sizes = {name: value for name, value in shape.model_dump().items() if value is not None}
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    LlamaConfig(max_position_embeddings=4096, **sizes, **ids).save_pretrained(folder)


def num_parameters(folder: Path) -> int:
    """Parameters of the folder's model, without making it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    return sum(p.numel() for p in model.parameters())


def build_model(folder: Path, device: str, weights: str) -> Any:
    """The model of the folder's config.json; its random weights depend on nothing but the device."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=DTYPES[weights])


def method_of(name: str) -> MethodRecipe:
    """The method's own recipe but for beta and rate; lora-dpo with r 16 on q and v, without dropout."""
    method = load_method(name)
    return method.model_copy(
        update={
            "adapter": LORA if name == "lora-dpo" else method.adapter,
            "loss": LossRecipe(beta=BETA),
            "train": method.train.model_copy(update={"lr": LR[name]}),
        }
    )
