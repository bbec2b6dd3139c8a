"""Trained policies: a whole model, or a base with an adapter on it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from ropo_bench.errors import UsageError, first_line
from ropo_bench.errors.failures import is_out_of_memory
from ropo_bench.models.load import load_model
from ropo_bench.weights.adapters import check_adapter, read_adapter
from ropo_bench.weights.checks import quiet
from ropo_bench.weights.files import is_adapter
from ropo_bench.weights.outline import outline


def load_policy(base: Path, policy: Path) -> Any:
    """A trained policy in fp32: a whole model, or the base with the adapter that lies in the folder `policy`.

    Raises UsageError as load_model, and for an adapter whose tensors are not those of its config on this base.
    """
    if not is_adapter(policy):
        return load_model(policy, "float32")
    from peft import PeftModel

    from ropo_bench.adapters import check_adapted  # which registers RoPO

    where = f"adapter {policy}"
    config, tensors = read_adapter(policy)
    model = load_model(base, "float32")
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of missing tensors, which are refused below
            model = PeftModel.from_pretrained(model, policy, config=config)
    except Exception as error:  # each kind of adapter refuses a module in its own way
        if is_out_of_memory(error):
            raise  # nothing is wrong with the folder
        raise UsageError(f"{where}: PEFT cannot put it on {base} ({first_line(error)})") from error
    check_adapter(where, model, tensors)
    check_adapted(where, model)
    return model


def check_policy(base: Path, policy: Path) -> None:
    """Raise UsageError for an adapter folder that load_policy would refuse on this base, without loading the base.

    Kinds of adapters that compute on weights as they are attached are left to load_policy.
    """
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from ropo_bench.adapters import check_adapted

    where = f"adapter {policy}"
    config, tensors = read_adapter(policy)
    model = outline(base, AutoModelForCausalLM, "a causal language model")
    try:
        with quiet(), warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            model = get_peft_model(model, config)
    except RuntimeError:  # torch's, of a tensor without numbers
        return
    except Exception as error:
        raise UsageError(f"{where}: PEFT cannot put it on {base} ({first_line(error)})") from error
    check_adapter(where, model, tensors)
    check_adapted(where, model)
