"""Which cache an architecture decodes with: keys and values, or states that only its own cache class carries."""

from __future__ import annotations

from typing import Any

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer


def text_config(model: Any) -> Any:
    """The part of a model's config that speaks of text: nested where the model also sees or hears."""
    return model.config.get_text_config(decoder=True)


def num_attention_layers(model: Any) -> int | None:
    """How many layers keep keys and values, where no layer keeps anything else; None where some do.

    Recurrent and convolutional layers (Mamba, LFM2, RecurrentGemma) keep a state, and models that share keys between
    layers (Gemma 3n) keep fewer.
    """
    config = text_config(model)
    layers = DynamicCache(config=model.config).layers
    plain = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    if not plain or is_recurrent(model) or getattr(config, "num_kv_shared_layers", None):
        return None
    return len(layers) or int(config.num_hidden_layers)


def is_recurrent(model: Any) -> bool:
    """Whether a token's result depends on states that padding before it would change: such rows stand alone."""
    layers = DynamicCache(config=model.config).layers
    kinds = {type(layer).__name__ for layer in layers}
    return bool(getattr(model, "_is_stateful", False)) or any("Linear" in kind for kind in kinds)
