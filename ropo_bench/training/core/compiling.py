"""torch.compile for what lies between the matrix products of a decoder layer: meant for GPUs.

Only parts that see plain tensors are compiled (norms, MLPs, rotary positions). They take any number of tokens, so
nothing is compiled twice; attention with its segments and the adapters' own functions stay as they are. On a CPU the
C functions of `layers.install` gain as much as inductor and need half a second where it needs a minute: a module
that has such a forward is left alone.
"""

from __future__ import annotations

import types

import torch
from torch import nn

from ropo_bench.adapters import plain_model
from ropo_bench.training.core.layers import is_known, rotary_of, with_rotary


def compile_layers(model: nn.Module) -> None:
    """Compile norms, MLPs and rotary positions in place, with a dynamic number of tokens, at their first call.

    For Llama, Mistral, Qwen2 and Qwen3; weights, state_dict and deepcopies stay those of the plain model.
    """
    causal = plain_model(model)
    if not is_known(causal):
        return
    for module in causal.modules():
        rotary = rotary_of(module)
        if "forward" in vars(module):
            continue
        if type(module).__name__.endswith(("RMSNorm", "MLP")):
            module.compile(dynamic=True)
        elif rotary is not None:
            own = with_rotary(type(module).forward, torch.compile(rotary, dynamic=True))
            module.forward = types.MethodType(own, module)


def forget_compiled(model: nn.Module) -> None:
    """Give every norm and MLP its own code again; rotary positions are given back by `layers.remove`."""
    for module in model.modules():
        vars(module).pop("_compiled_call_impl", None)
