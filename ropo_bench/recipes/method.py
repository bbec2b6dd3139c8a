"""A method is a row of the leaderboard: an adapter, a loss and a training schedule, by name and number.

The names of adapters and losses, and the options that each of them reads, stand in `adapters` and `losses` beside
this file, so that a recipe is checked before anything heavy is imported; the code is in the rooms of the same names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from ropo_bench.recipes.adapters import ADAPTERS
from ropo_bench.recipes.losses import LOSSES

OBJECT = re.compile(r"([A-Za-z_][\w.]*|[^:\s]+\.py):[A-Za-z_][\w.]*")
"""Code of a user: `module:object` of an importable module, or `path/to/file.py:object`."""


class Recipe(BaseModel):
    """Base of everything read from YAML: typed, closed and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _module_names(value: Any) -> Any:
    is_list = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
    if is_list or (isinstance(value, str) and value):
        return value
    raise PydanticCustomError("module_names", "must be a list of module names, or one pattern as text")


def _check_name(name: str, choices: Sequence[str]) -> None:
    if name not in choices and not OBJECT.fullmatch(name):
        raise PydanticCustomError(
            "unknown_name", "unknown name", {"key": ("name",), "given": name, "known": list(choices)}
        )


def _check_options(options: Mapping[str, Any], choices: Sequence[str]) -> None:
    for key in options:
        if key not in choices:
            raise PydanticCustomError(
                "unknown_option", "unknown key", {"key": ("options", key), "known": list(choices)}
            )


class AdapterRecipe(Recipe):
    """Which parameters train.

    name: one of ADAPTERS, or "module:object". target_modules: suffixes of module names, or one regular
    expression, as PEFT reads them; `full` trains everything and does not read it. options: fields of the PEFT
    config (r, lora_alpha, lora_dropout, oft_block_size ...; for ropo: reverse, magnitude, planes).
    """

    name: str
    target_modules: Annotated[list[str] | str, BeforeValidator(_module_names)] = Field(
        default_factory=lambda: ["q_proj", "v_proj"]
    )
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names(self) -> Self:
        _check_name(self.name, list(ADAPTERS))
        choices = ADAPTERS[self.name].choices if self.name in ADAPTERS else None
        if choices is None:
            return self
        _check_options(self.options, list(choices))
        for key, value in self.options.items():
            if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices[key]):
                words = " or ".join(str(choice).lower() for choice in choices[key])
                raise PydanticCustomError(
                    "option_value", "must be {choices}", {"choices": words, "key": ("options", key), "given": value}
                )
        return self


class LossRecipe(Recipe):
    """What is minimised.

    name: one of LOSSES, or "module:object". beta: > 0; the strength of the pull to the reference (for
    IPO: tau; for ORPO: lambda). label_smoothing: the assumed share of flipped labels, in [0, 0.5).
    """

    name: str = "sigmoid"
    beta: float = Field(default=0.1, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    options: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names(self) -> Self:
        _check_name(self.name, list(LOSSES))
        if self.name in LOSSES:
            ranges = LOSSES[self.name].options
            _check_options(self.options, list(ranges))
            for key, value in self.options.items():
                if value not in ranges[key]:
                    context = {"range": str(ranges[key]), "key": ("options", key), "given": value}
                    raise PydanticCustomError("option_value", "must be {range}", context)
        return self


class CoreRecipe(Recipe):
    """What makes the training core fast; every switch leaves the numbers as they are, to rounding.

    packing: the pairs of a forward pass in one row without padding. prefix_sharing: a pair's prompt computed once
    for both completions (packing only). fused_head: log-probabilities without logits of the whole batch, made
    again in the backward. kernels: rotations by a compiled kernel. compile: torch.compile on the model's layers.
    """

    packing: bool = True
    prefix_sharing: bool = True
    fused_head: bool = True
    kernels: bool = True
    compile: bool = False


class TrainRecipe(Recipe):
    """How long and how fast; batch sizes count pairs, lengths count tokens.

    batch_size: pairs per optimizer step over all devices. micro_batch_size: pairs per forward pass at most, and
    micro_batch_tokens: tokens per forward pass at most (a longer pair goes alone), both on each device.
    epochs: passes over the pairs, fractions allowed; max_steps, where given, ends it earlier.
    max_length: prompt and completion together.
    """

    lr: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    epochs: float = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=128, ge=1)
    micro_batch_size: int = Field(default=8, ge=1)
    micro_batch_tokens: int = Field(default=8192, ge=1)
    warmup_ratio: float = Field(default=0.1, ge=0, le=1)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    max_grad_norm: float = Field(default=1.0, gt=0)
    dtype: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    checkpoint_every_steps: int = Field(default=50, ge=1)
    max_length: int = Field(default=1024, ge=2)
    max_prompt_length: int = Field(default=512, ge=1)
    core: CoreRecipe = Field(default_factory=CoreRecipe)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.batch_size % self.micro_batch_size:
            message = "must be a multiple of micro_batch_size ({micro})"
            raise PydanticCustomError(
                "indivisible",
                message,
                {"micro": self.micro_batch_size, "key": ("batch_size",), "given": self.batch_size},
            )
        if self.max_prompt_length >= self.max_length:
            message = "must be less than max_length ({max_length})"
            raise PydanticCustomError(
                "no_room",
                message,
                {
                    "max_length": self.max_length,
                    "key": ("max_prompt_length",),
                    "given": self.max_prompt_length,
                },
            )
        return self


class MethodRecipe(Recipe):
    """One row: `methods/NAME.yaml`, after inheritance, suite and --set."""

    name: str
    description: str = Field(min_length=1)
    adapter: AdapterRecipe
    loss: LossRecipe
    train: TrainRecipe
