"""Rotations and magnitudes in one pass over memory: Triton on CUDA, a small C library on CPUs, else plain torch.

A kernel is a module with `forward(x_ND, theta_forward, theta_reverse, planes, transpose) -> y_ND` and
`backward(x_ND, grad_ND, theta_forward, theta_reverse, planes, transpose) -> (grad_x_ND, grad_forward,
grad_reverse)` on contiguous tensors; x is the rotation's input in both.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from types import ModuleType
from typing import Literal

import torch

from ropo_bench.adapters.ropo.kernels import cpu

__all__ = ["cpu", "enable", "find", "path"]

_enabled = True


def enable(on: bool) -> None:
    """Switch all kernels of this process on (they are at start) or off: then torch does the same sums, slower."""
    global _enabled  # noqa: PLW0603 (the contract: one switch a process)
    _enabled = on


def path(device: torch.device) -> Literal["triton", "c", "torch"]:
    """What rotates fp32 tensors of this device now; compiles the C library if nobody has yet."""
    kernel = find(device, torch.float32)
    return "torch" if kernel is None else "c" if kernel is cpu else "triton"


def find(device: torch.device, dtype: torch.dtype) -> ModuleType | None:
    """The kernel for such tensors, None for plain torch (fp64 always); says once why there is none."""
    if not _enabled or dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return None
    if device.type == "cpu":
        return cpu if cpu.library() is not None else None
    return _triton() if device.type == "cuda" else None


@lru_cache(maxsize=1)
def _triton() -> ModuleType | None:
    try:
        from ropo_bench.adapters.ropo.kernels import triton
    except ImportError as error:
        logging.getLogger(__name__).warning(
            "RoPO rotates in plain torch, several times slower than by its kernel: Triton cannot be imported (%s); "
            "install triton",
            error,
        )
        return None
    return triton
