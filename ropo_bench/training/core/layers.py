"""Cheaper layers: `install` gives modules of one model a forward of their own, `remove` takes it away.

transformers' code and classes stay as they are; only instances change. The forwards compute the same to rounding.
Whatever they are not made for (a GPU, fp16, a cache of keys in another type) goes to the module's own code.

Shapes: B rows, T tokens, H heads, E width of a head, O and D width of a linear layer's result and input.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ropo_bench.adapters import plain_model
from ropo_bench.training.core import elementwise, products

# Their decoder layers are alike: two RMSNorms, rotary attention, SwiGLU.
ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")
_ROTARY = "apply_rotary_pos_emb"


def install(model: nn.Module) -> None:
    """Make RMSNorm, rotary positions, SwiGLU and linear layers cheap, with gradients and without.

    Call it once the adapter is attached; the model may be saved, copied and merged as ever. The last layer then also
    takes `scored` (see `takes_scored`). Other architectures stay as they are; on a GPU, and without a C compiler, so
    do the modules that need one.
    """
    causal = plain_model(model)
    if not is_known(causal):
        return
    for module, forward in _replacements(causal):
        module.forward = types.MethodType(forward, module)  # bound, so that a deepcopy's forward is the copy's own


def takes_scored(model: nn.Module) -> bool:
    """Whether the trunk may be called with `scored`, positions (C,) in the flattened rows, and then yields (1, C, D).

    The MLP and norms after the last attention are then computed for the scored positions only.
    """
    causal = plain_model(model)
    return is_known(causal) and _has_own_forward(causal.base_model.layers[-1])


def remove(model: nn.Module) -> None:
    """Give every module its class's forward again."""
    for module in model.modules():
        if _has_own_forward(module):
            del module.forward


def is_known(causal: Any) -> bool:
    """Whether its layers are of an architecture that this module knows."""
    config = getattr(causal, "config", None)  # an objective may train what is no transformers model
    return getattr(config, "model_type", None) in ARCHITECTURES


def _has_own_forward(module: nn.Module) -> bool:
    return getattr(vars(module).get("forward"), "__module__", None) == __name__


def _replacements(causal: Any) -> Iterator[tuple[Any, Callable[..., Any]]]:
    head, compiled = causal.get_output_embeddings(), elementwise.library() is not None
    yield causal.base_model.layers[-1], _last_layer_forward
    for module in causal.modules():
        name = type(module).__name__
        on_cpu = all(parameter.device.type == "cpu" for parameter in module.parameters())
        if "forward" in vars(module) or not on_cpu:
            continue
        if compiled and name.endswith("RMSNorm"):
            yield module, _norm_forward
        elif compiled and name.endswith("MLP") and causal.config.hidden_act == "silu":
            yield module, _mlp_forward
        elif compiled and rotary_of(module) is not None:
            yield module, with_rotary(type(module).forward, rotate_query_key)
        elif type(module) is nn.Linear and module is not head:
            yield module, _linear_forward


def _last_layer_forward(self: Any, hidden_states: Tensor, scored: Tensor | None = None, **kwargs: Any) -> Any:
    if scored is None:
        return type(self).forward(self, hidden_states, **kwargs)
    attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
    x_CD = (hidden_states + attended).flatten(0, 1)[scored]
    return (x_CD + self.mlp(self.post_attention_layernorm(x_CD)))[None]


def _norm_forward(self: Any, hidden_states: Tensor) -> Tensor:
    weight = self.weight
    if hidden_states.device.type == "cpu" and hidden_states.dtype == weight.dtype == torch.float32:
        return elementwise.rms_norm(hidden_states, weight, self.variance_epsilon)
    return type(self).forward(self, hidden_states)  # type: ignore[no-any-return]


def _mlp_forward(self: Any, x: Tensor) -> Tensor:
    gate, up = self.gate_proj(x), self.up_proj(x)
    if gate.device.type == "cpu" and gate.dtype == up.dtype and gate.dtype in elementwise.SUFFIX:
        return self.down_proj(elementwise.swiglu(gate, up))  # type: ignore[no-any-return]
    return self.down_proj(self.act_fn(gate) * up)  # type: ignore[no-any-return]


def rotary_of(module: nn.Module) -> Callable[..., Any] | None:
    """The `apply_rotary_pos_emb` of transformers that an attention module calls; None for other modules."""
    scope = getattr(type(module).forward, "__globals__", {})
    return scope.get(_ROTARY) if hasattr(module, "q_proj") else None


def with_rotary(forward: Any, rotary: Callable[..., Any]) -> Callable[..., Any]:
    """transformers' attention forward, in which the name `apply_rotary_pos_emb` means `rotary`."""
    scope = {**forward.__globals__, _ROTARY: rotary}
    own = types.FunctionType(forward.__code__, scope, forward.__name__, forward.__defaults__, forward.__closure__)
    own.__kwdefaults__, own.__module__ = forward.__kwdefaults__, __name__
    return own


def rotate_query_key(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Query and key (B, H, T, E) at their positions, cos and sin (B or 1, T, E), as transformers' function.

    Under autocast bf16 stays bf16, to which attention would round the results next.
    """
    return _rotate(query, cos, sin), _rotate(key, cos, sin)


def _rotate(x_BHTE: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
    types_fit = x_BHTE.dtype in elementwise.SUFFIX and cos_BTE.dtype == torch.float32
    keeps_type = x_BHTE.dtype == torch.float32 or torch.is_autocast_enabled("cpu")
    if x_BHTE.device.type == "cpu" and types_fit and keeps_type and x_BHTE.shape[-1] == cos_BTE.shape[-1]:
        return elementwise.rotary(x_BHTE, cos_BTE, sin_BTE)
    a, b = x_BHTE.chunk(2, dim=-1)
    return x_BHTE * cos_BTE[:, None] + torch.cat((-b, a), dim=-1) * sin_BTE[:, None]


def _linear_forward(self: Any, x: Tensor) -> Tensor:
    weight, bias = self.weight, self.bias
    if products.is_faster(x, weight):
        return _Linear.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    return nn.functional.linear(x, weight, bias)


class _Linear(torch.autograd.Function):
    """x W^T + b by oneDNN; the gradient of a trained weight is as fast by torch's BLAS, and stays with it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_OD: Tensor, bias_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight_OD)
        return products.linear(x, weight_OD, bias_O)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight_OD = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        grad_NO = grad.flatten(0, -2)
        return (
            products.linear(grad, weight_OD.t()) if of_x else None,
            grad_NO.t() @ x.flatten(0, -2) if of_weight else None,
            grad_NO.sum(0) if of_bias else None,
        )
