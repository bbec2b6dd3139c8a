"""RoPO as a tuner of PEFT; importing this package registers it there.

PEFT's own `register_peft_method` takes only names of its closed PeftType enum, so its tables are filled here.
"""

from __future__ import annotations

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

from ropo_bench.adapters.ropo import operator  # noqa: F401 (registers the rotation as an operator of torch)
from ropo_bench.adapters.ropo.config import PEFT_TYPE, RopoConfig
from ropo_bench.adapters.ropo.layer import RopoLayer, RopoLinear
from ropo_bench.adapters.ropo.model import RopoModel

PEFT_TYPE_TO_CONFIG_MAPPING[PEFT_TYPE] = RopoConfig
PEFT_TYPE_TO_TUNER_MAPPING[PEFT_TYPE] = RopoModel
PEFT_TYPE_TO_PREFIX_MAPPING[PEFT_TYPE] = RopoModel.prefix

__all__ = ["RopoConfig", "RopoLayer", "RopoLinear", "RopoModel"]
