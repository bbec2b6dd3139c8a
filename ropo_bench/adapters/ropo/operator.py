"""The rotation as one operator of torch, so that a compiled model keeps it as it is: ropo_bench::rotate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ropo_bench.adapters.ropo.givens import rotate_backward, rotate_forward
from ropo_bench.adapters.ropo.trees import Planes


def _planes(mirror: bool) -> Planes:
    return "mirror" if mirror else "shared"


@torch.library.custom_op("ropo_bench::rotate", mutates_args=())
def rotate_operator(
    x: Tensor, forward: Tensor | None, reverse: Tensor | None, mirror: bool, transpose: bool
) -> Tensor:
    """`givens.rotate`."""
    return rotate_forward(x, (forward, reverse), _planes(mirror), transpose)


@torch.library.custom_op("ropo_bench::rotate_backward", mutates_args=())
def rotate_backward_operator(
    x: Tensor, grad: Tensor, forward: Tensor | None, reverse: Tensor | None, mirror: bool, transpose: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """`givens.rotate_backward`; an empty gradient for a tree that is left out."""
    grad_x, grads = rotate_backward(x, grad, (forward, reverse), _planes(mirror), transpose)
    assert grad_x is not None
    f, r = (x.new_empty(0) if g is None else g for g in grads)
    return grad_x, f, r


@rotate_operator.register_fake
def _(x: Tensor, forward: Tensor | None, reverse: Tensor | None, mirror: bool, transpose: bool) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@rotate_backward_operator.register_fake
def _(
    x: Tensor, grad: Tensor, forward: Tensor | None, reverse: Tensor | None, mirror: bool, transpose: bool
) -> tuple[Tensor, Tensor, Tensor]:
    f, r = (x.new_empty(0) if theta is None else torch.empty_like(theta) for theta in (forward, reverse))
    return torch.empty_like(x, memory_format=torch.contiguous_format), f, r


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.mirror, ctx.transpose = inputs[3:]


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None, None]:
    x, forward, reverse = ctx.saved_tensors
    grad_x, f, r = rotate_backward_operator(x, grad, forward, reverse, ctx.mirror, ctx.transpose)
    return grad_x, None if forward is None else f, None if reverse is None else r, None, None


rotate_operator.register_autograd(_differentiate, setup_context=_keep)
