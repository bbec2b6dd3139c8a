"""The magnitudes' part of a layer: out = z * scale (+ shift), one pass forward and one backward.

Tensor letters: N tokens (all leading dimensions flattened), O neurons.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ropo_bench.adapters.ropo import kernels


def magnify(z: Tensor, scale_O: Tensor, shift_O: Tensor | None = None) -> Tensor:
    """z * scale + shift along the last dimension of z (..., O), in z's dtype; scale and shift in fp32.

    The arithmetic is at least fp32 and is rounded once; differentiable once in all three.
    """
    if torch.compiler.is_compiling():
        return _plain(z, scale_O, shift_O)
    magnified: Tensor = _Magnify.apply(z, scale_O, shift_O)  # type: ignore[no-untyped-call]
    return magnified


class _Magnify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, scale_O: Tensor, shift_O: Tensor | None) -> Tensor:
        ctx.save_for_backward(z, scale_O)
        if not _by_kernel(z):
            return _plain(z, scale_O, shift_O)
        z_NO = z.reshape(-1, z.shape[-1]).contiguous()
        shift = None if shift_O is None else shift_O.contiguous()
        return kernels.cpu.scale(z_NO, scale_O.contiguous(), shift).reshape(z.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        z, scale_O = ctx.saved_tensors
        z_NO, g_NO = (t.reshape(-1, z.shape[-1]) for t in (z, grad))
        grad_shift = g_NO.sum(dim=0, dtype=scale_O.dtype) if ctx.needs_input_grad[2] else None
        if not ctx.needs_input_grad[1]:
            return _plain(grad, scale_O, None), None, grad_shift
        if not _by_kernel(z):
            grad_scale = (g_NO * z_NO.to(torch.promote_types(z.dtype, torch.float32))).sum(dim=0).to(scale_O.dtype)
            return _plain(grad, scale_O, None), grad_scale, grad_shift
        gradients = kernels.cpu.scale_backward(z_NO.contiguous(), g_NO.contiguous(), scale_O.contiguous())
        return gradients[0].reshape(z.shape), gradients[1], grad_shift


def _by_kernel(z: Tensor) -> bool:
    """fp16 too goes by torch: it would cost two more passes here."""
    return z.dtype != torch.float16 and kernels.find(z.device, z.dtype) is kernels.cpu


def _plain(z: Tensor, scale_O: Tensor, shift_O: Tensor | None) -> Tensor:
    scaled = z * scale_O
    return (scaled if shift_O is None else scaled + shift_O).to(z.dtype)
