"""BIG on a GPU: launches the Triton kernels of rounds.py, which read and write every token once.

A program for each place on the GPU goes through its blocks of tokens, so that the angles' gradients are summed in
registers and only (P, D) partial sums reach memory. Those are summed in a fixed order: results do not vary from
run to run on one device.

Tensor letters: N tokens, D features, P programs.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from ropo_bench.adapters.ropo.kernels.rounds import TAIL, back_kernel, rotate_kernel
from ropo_bench.adapters.ropo.trees import Planes

# 16 warps of 128 registers a thread fill a multiprocessor's 65,536. Said to the compiler: left alone it takes 32
# for the widest kernels and spills the rest.
WARPS_A_PROCESSOR = 16
REGISTERS = 128


class Launch(NamedTuple):
    """Tokens a program turns at once, and its warps."""

    tokens: int
    warps: int


def forward_launch(width: int) -> Launch:
    """About 32 numbers a thread; from the registers that sm_90 code needs, not measured on a GPU."""
    warps = min(WARPS_A_PROCESSOR, max(4, width // 512))
    return Launch(min(2, max(1, 1024 * warps // width)), warps)


def backward_launch(width: int) -> Launch:
    """About 8 numbers a thread: x, g and two trees' angles and sums are live. Not measured on a GPU."""
    warps = min(WARPS_A_PROCESSOR, max(4, width // 256))
    return Launch(min(2, max(1, 256 * warps // width)), warps)


class Tree(NamedTuple):
    """One tree as it acts: its angles times `sign`, in planes of interleaved pairs or of halves (rounds.py)."""

    theta: Tensor | None
    halves: bool
    sign: float

    def table(self) -> Tensor | None:
        """cos and sin, (2, D) in fp32: round after round as the angles stand, behind a free entry for halves."""
        if self.theta is None:
            return None
        angle = self.theta.detach().float() * self.sign
        table_2D = torch.empty(2, len(angle) + 1, dtype=torch.float32, device=angle.device)
        torch.cos(angle, out=table_2D[0, self._place])
        torch.sin(angle, out=table_2D[1, self._place])
        return table_2D

    def sums(self, programs: int) -> Tensor | None:
        """Where the programs put their shares of dL/dt, (P, D) in fp32 and in the table's order."""
        theta = self.theta
        return None if theta is None else theta.new_empty(programs, len(theta) + 1, dtype=torch.float32)

    def grad(self, sums_PD: Tensor | None) -> Tensor | None:
        """dL/dtheta (D - 1,)."""
        if sums_PD is None or self.theta is None:
            return None
        return (sums_PD[:, self._place].sum(dim=0) * self.sign).to(self.theta.dtype)

    @property
    def _place(self) -> slice:
        return slice(1, None) if self.halves else slice(-1)


def _trees(forward: Tensor | None, reverse: Tensor | None, planes: Planes, transpose: bool) -> tuple[Tree, Tree]:
    """The tree that folds and the tree that unfolds: R(f, r)^T = R(-r, -f), each tree in its own planes."""
    mirror = planes == "mirror"
    fold, unfold = (reverse, forward) if transpose else (forward, reverse)
    fold_halves, unfold_halves = (mirror, False) if transpose else (False, mirror)
    if fold is None:  # one tree is one recursion, whatever its planes
        fold_halves = unfold_halves
    if unfold is None:
        unfold_halves = fold_halves
    sign = -1.0 if transpose else 1.0
    return Tree(fold, fold_halves, sign), Tree(unfold, unfold_halves, sign)


def forward(
    x_ND: Tensor, theta_forward: Tensor | None, theta_reverse: Tensor | None, planes: Planes, transpose: bool
) -> Tensor:
    """R x, or R^T x with `transpose`, for a contiguous x in fp32, bf16 or fp16 on a CUDA device.

    x_ND on the CPU only under Triton's interpreter (TRITON_INTERPRET=1 before triton is imported).
    """
    trees = _trees(theta_forward, theta_reverse, planes, transpose)
    shape, y_ND = forward_launch(triton.next_power_of_2(x_ND.shape[1])), torch.empty_like(x_ND)
    _launch(rotate_kernel, _programs(x_ND, shape), shape, trees, x_ND, y_ND)
    return y_ND


def backward(
    x_ND: Tensor,
    grad_ND: Tensor,
    theta_forward: Tensor | None,
    theta_reverse: Tensor | None,
    planes: Planes,
    transpose: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """dL/dx (N, D) and dL/dtheta of both trees (D - 1,), from the INPUT x of `forward` and dL/dy; both contiguous."""
    fold, unfold = trees = _trees(theta_forward, theta_reverse, planes, transpose)
    shape, out_ND = backward_launch(triton.next_power_of_2(x_ND.shape[1])), torch.empty_like(x_ND)
    programs = _programs(x_ND, shape)
    folds_PD, unfolds_PD = fold.sums(programs), unfold.sums(programs)
    _launch(back_kernel, programs, shape, trees, x_ND, grad_ND, out_ND, folds_PD, unfolds_PD)
    grads = fold.grad(folds_PD), unfold.grad(unfolds_PD)
    return (out_ND, *(grads[::-1] if transpose else grads))


def _programs(x_ND: Tensor, shape: Launch) -> int:
    """As many as the GPU holds at once, or as there are blocks of tokens."""
    blocks = -(-len(x_ND) // shape.tokens)
    return min(blocks, _processors(x_ND.device) * (WARPS_A_PROCESSOR // shape.warps))


@lru_cache(maxsize=16)
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def _launch(
    kernel: Any, programs: int, shape: Launch, trees: tuple[Tree, Tree], x_ND: Tensor, *args: Tensor | None
) -> None:
    fold, unfold = trees
    n, d = x_ND.shape
    width = triton.next_power_of_2(d)
    on: AbstractContextManager[Any] = torch.cuda.device(x_ND.device) if x_ND.is_cuda else nullcontext()
    with on:
        kernel[(programs,)](
            x_ND, *args, fold.table(), unfold.table(), n,
            D=d, W=width, T=shape.tokens, S=min(TAIL, width), F=fold.halves, U=unfold.halves,
            num_warps=shape.warps, maxnreg=REGISTERS, enable_fp_fusion=True,
        )  # fmt: skip
