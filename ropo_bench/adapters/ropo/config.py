"""RoPO's PEFT config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from peft import PeftConfig

from ropo_bench.adapters.ropo.trees import Planes
from ropo_bench.errors import UsageError

PEFT_TYPE = "ROPO"


@dataclass
class RopoConfig(PeftConfig):
    """Options of RoPO: rotate every neuron of the target modules by BIG and train its magnitude.

    target_modules, exclude_modules, layers_to_transform, layers_pattern: as in PEFT's other configs; without
    target_modules PEFT's usual choice for the architecture (q_proj and v_proj for Llama).
    reverse: False leaves the reverse tree out. magnitude: False keeps each neuron's norm frozen.
    planes: pairs of the reverse tree, the forward tree's ("shared") or its own ("mirror").
    Raises UsageError for other planes.
    """

    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    reverse: bool = True
    magnitude: bool = True
    planes: Planes = "shared"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PEFT_TYPE
        if self.planes not in get_args(Planes):
            raise UsageError(f"RopoConfig.planes: must be shared or mirror, got {self.planes!r}")
