"""RoPO's PEFT tuner: puts a RopoLinear in the place of every target module."""

from __future__ import annotations

from typing import Any

from peft.tuners.tuners_utils import BaseTuner
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn

from ropo_bench.adapters.ropo.config import RopoConfig
from ropo_bench.adapters.ropo.layer import RopoLayer, RopoLinear, check_single
from ropo_bench.errors import UsageError


class RopoModel(BaseTuner):
    """A model with RoPO on its target modules; made by `peft.get_peft_model(model, RopoConfig(...))`."""

    prefix = "ropo_"
    tuner_layer_cls = RopoLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    def _create_and_replace(
        self,
        peft_config: RopoConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **_: Any,
    ) -> None:
        if isinstance(target, RopoLayer):
            target.update_layer(adapter_name, peft_config)
            return
        if not isinstance(target, nn.Linear) or not target.weight.is_floating_point():
            raise UsageError(
                f"RoPO: target module {current_key} is a {type(target).__name__}; only unquantised nn.Linear "
                "can be adapted, so mend target_modules"
            )
        module = RopoLinear(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            module.requires_grad_(False)
        self._replace_module(parent, target_name, module, target)

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Make one adapter active on all modules; UsageError for two."""
        check_single(adapter_name)
        super().set_adapter(adapter_name, inference_mode=inference_mode)
