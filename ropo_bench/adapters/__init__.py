"""What trains: all parameters (full), PEFT's LoRA and OFT, RoPO, or a user's own PEFT config.

Importing this package registers RoPO in PEFT, so that saved RoPO adapters load.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from peft.tuners.boft.layer import BOFTLayer
from peft.tuners.hra.layer import HRALayer
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.oft.layer import OFTLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from ropo_bench.adapters.ropo import RopoConfig, RopoLayer
from ropo_bench.adapters.targets import check_targets
from ropo_bench.errors import MethodFailed, RopoBenchError, UsageError, first_line
from ropo_bench.recipes.files import suggest
from ropo_bench.recipes.objects import resolve_object

if TYPE_CHECKING:
    from ropo_bench.recipes.method import AdapterRecipe

__all__ = [
    "RopoConfig",
    "adapter_config",
    "attach",
    "check_adapted",
    "count_parameters",
    "plain_model",
    "rotations",
    "tuner_layers",
]

CONFIGS = {
    "lora": "peft:LoraConfig",
    "vera": "peft:VeraConfig",
    "delora": "peft:DeloraConfig",
    "miss": "peft:MissConfig",
    "ia3": "peft:IA3Config",
    "oft": "peft:OFTConfig",
    "boft": "peft:BOFTConfig",
    "hra": "peft:HRAConfig",
    "road": "peft:RoadConfig",
    "psoft": "peft:PsoftConfig",
    "ropo": RopoConfig,
}
# The truncated Cayley-Neumann series, PEFT's default, is only nearly orthogonal (5e-2 at weights of 0.05).
DEFAULTS: dict[str, dict[str, Any]] = {"oft": {"use_cayley_neumann": False}}
# Fields that the recipe sets elsewhere or that would train more than the adapter.
NOT_OPTIONS = {field.name for field in dataclasses.fields(PeftConfig)} | {
    "target_modules",
    "modules_to_save",
    "trainable_token_indices",
}


def attach(model: nn.Module, recipe: AdapterRecipe) -> nn.Module:
    """The model with exactly the recipe's parameters trainable: itself (`full`) or a PeftModel around it.

    Changes the model in place; its logits stay the same: the base stays in evaluation mode, so that its own dropout
    (GPT-2's 0.1) is off in the policy as in the reference, and only what the adapter adds is in training mode. Raises
    UsageError for unknown options and for target modules that match nothing or share their weight with others,
    MethodFailed where a user's adapter fails.
    """
    model.eval()
    if recipe.name == "full":
        return model.requires_grad_(True)
    config = adapter_config(recipe)
    check_targets(recipe, model)
    try:
        adapted: nn.Module = get_peft_model(model, config)
    except (ValueError, TypeError) as error:  # PEFT's own checks of the config against the model
        raise UsageError(f"adapter {recipe.name}: {first_line(error)}") from error
    except (RuntimeError, RopoBenchError):  # torch's own, out of memory among them, and ours
        raise
    except Exception as error:  # the adapter may be a user's: it fails alone
        raise MethodFailed(f"adapter {recipe.name}: {first_line(error)}") from error
    _refuse_fused_experts(adapted, recipe)
    check_adapted(f"adapter {recipe.name}", adapted)
    return adapted


def adapter_config(recipe: AdapterRecipe) -> PeftConfig:
    """The recipe's PEFT config; the name resolves by CONFIGS or as "module:object".

    `oft` uses the exact Cayley transform unless the recipe says otherwise. Raises UsageError for options that
    the config does not have or does not accept.
    """
    config_class = resolve_object(recipe.name, CONFIGS, "adapter")
    if not (isinstance(config_class, type) and issubclass(config_class, PeftConfig)):
        raise UsageError(f"adapter {recipe.name!r}: must name a class derived from peft.PeftConfig")
    names = {field.name for field in dataclasses.fields(config_class)} - NOT_OPTIONS
    for option in recipe.options:
        if option not in names:
            hint = suggest(option, names) or f"{config_class.__name__} has {', '.join(sorted(names))}"
            raise UsageError(f"adapter {recipe.name}: unknown option {option!r}; {hint}")
    options = {**DEFAULTS.get(recipe.name, {}), **recipe.options}
    try:
        return config_class(task_type="CAUSAL_LM", target_modules=recipe.target_modules, **options)
    except (ValueError, TypeError) as error:
        raise UsageError(f"adapter {recipe.name}: options {options}: {error}") from error


def _refuse_fused_experts(adapted: nn.Module, recipe: AdapterRecipe) -> None:
    """UsageError where PEFT adapts a bare parameter: all experts of a layer in one tensor, no linear layer."""
    names = [name for name, layer in tuner_layers(adapted) if isinstance(layer, ParamWrapper)]
    if names:
        raise UsageError(
            f"adapter {recipe.name}: target_modules reach the fused experts of {names[0]}, which are no linear layers"
            " and cannot be merged one by one; name others, such as target_modules: [q_proj, k_proj, v_proj, o_proj]"
        )


def plain_model(model: nn.Module) -> Any:
    """The transformers model itself, without PEFT's wrapper."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def tuner_layers(model: nn.Module) -> list[tuple[str, BaseTunerLayer]]:
    """(name, layer) of every adapted module; names as in the model before the adapter was attached."""
    return [
        (name, module) for name, module in plain_model(model).named_modules() if isinstance(module, BaseTunerLayer)
    ]


def rotations(model: nn.Module) -> list[tuple[str, Callable[[], torch.Tensor]]]:
    """(name, function giving R as a matrix) of every module whose inputs the active adapter rotates as a whole.

    RoPO, OFT and, but for a scale of each output, BOFT; HRA, whose R is a product of reflections.
    """
    return [
        (name, rotation)
        for name, layer in tuner_layers(model)
        for adapter in layer.active_adapters
        if (rotation := _rotation(layer, adapter)) is not None
    ]


def _rotation(layer: Any, adapter: str) -> Callable[[], torch.Tensor] | None:
    match layer:
        case RopoLayer() if adapter in layer.ropo_theta_forward:
            return partial(layer.rotation, adapter)
        case OFTLayer() if adapter in layer.oft_R:
            return partial(layer.get_delta_weight, adapter)
        case HRALayer() if adapter in layer.hra_u:
            return partial(layer.get_delta_weight, adapter)
        case BOFTLayer() if adapter in layer.boft_R:
            return partial(_boft_rotation, layer, adapter)
    return None


def _boft_rotation(layer: Any, adapter: str) -> torch.Tensor:
    rotation, _ = layer.get_delta_weight(adapter)  # the second is the scale of each output
    return cast(torch.Tensor, rotation)


def check_adapted(where: str, policy: nn.Module) -> None:
    """Raise UsageError for an adapter on a head or embeddings that share one weight: no plain model can hold both."""
    plain, layers = plain_model(policy), dict(tuner_layers(policy))
    ends = [end for end in (plain.get_output_embeddings(), plain.get_input_embeddings()) if end is not None]
    names = sorted(name for name, layer in layers.items() if any(layer is end for end in ends))
    weights = [end.get_base_layer().weight if isinstance(end, BaseTunerLayer) else end.weight for end in ends]
    if names and len(weights) > 1 and weights[0] is weights[1]:
        raise UsageError(
            f"{where}: adapts {', '.join(names)}, but in this model the head is tied to the embeddings"
            " (tie_word_embeddings), so merging would change both; leave it out of target_modules"
        )


def count_parameters(base: str | Path | PreTrainedConfig, recipe: AdapterRecipe) -> tuple[int, int]:
    """(trainable parameters of the method, parameters of the base model), without loading any weight.

    base: a folder with a config.json, a hub id or a config. Raises UsageError if there is no readable config, and
    as attach.
    """
    if not isinstance(base, PreTrainedConfig):
        try:
            base = AutoConfig.from_pretrained(str(base))
        except Exception as error:  # a config may be wrong in as many ways as there are architectures
            raise UsageError(
                f"{base}: cannot read a model config ({first_line(error)}); give a folder with config.json"
            ) from error
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(base)
    total = sum(p.numel() for p in model.parameters())
    try:
        with torch.device("meta"):
            adapted = attach(model, recipe)
    except RuntimeError:  # torch's: an adapter that computes on its own weights as it is attached, such as BOFT
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(base)
        try:
            adapted = attach(model, recipe)  # its own weights in memory, the model's still without
        except RuntimeError as error:
            raise MethodFailed(f"adapter {recipe.name}: cannot be counted ({first_line(error)})") from error
    return sum(p.numel() for p in adapted.parameters() if p.requires_grad), total
