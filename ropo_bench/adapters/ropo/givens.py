"""BIG, Bidirectional Integrated Givens: an orthogonal D x D matrix R from two trees of plane rotations.

R = R_reverse(theta_reverse) R_forward(theta_forward). The forward tree folds, smallest stride first: round b
pairs index i = 2^(b+1) k with j = i + 2^b (GOFT, arXiv 2404.04316, eq. 3); an index without a partner passes
through. The reverse tree unfolds: with `planes="shared"` the same rounds, largest stride first; with
`planes="mirror"` round b pairs i < 2^b with j = i + 2^b, smallest stride first.

Angle order: every index j >= 1 is the second of exactly one pair of a tree, so a tree has D - 1 angles. They
stand in the order of the rounds b = 0, 1, 2 ... (stride ascending in both trees) and inside a round by i. All
angles 0 is the identity. One pair turns as y_i = c a - s b, y_j = s a + c b with c = cos t, s = sin t.

Here is the maths in plain torch; `kernels` does the same in one pass over memory where a compiler is at hand.

Tensor letters: N tokens (all leading dimensions flattened), D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ropo_bench.adapters.ropo import kernels
from ropo_bench.adapters.ropo.trees import Planes, Round, tree_rounds

Thetas: TypeAlias = tuple[Tensor | None, Tensor | None]  # forward, reverse; each (D - 1,)

# Tokens are turned in slabs of about this many numbers, feature-major: rounds then run along contiguous
# tokens and a slab stays in cache through all of them (measured best between 1 and 8 MiB).
SLAB_NUMBERS = 1 << 20


def rotate(
    x: Tensor,
    theta_forward: Tensor | None,
    theta_reverse: Tensor | None,
    planes: Planes = "shared",
    transpose: bool = False,
) -> Tensor:
    """R x along the last dimension, or R^T x with `transpose`; differentiable once in x and the angles.

    x (..., D), thetas (D - 1,) or None for a tree that is left out. The arithmetic is at least fp32 and the
    result has x's dtype. The backward keeps x, which modules that share an input share, and the angles only: it
    makes y = R x again and undoes one round after the other. For shared planes R(f, r)^T = R(-r, -f).
    """
    if torch.compiler.is_compiling():  # one opaque operator (operator.py): no graph break
        return torch.ops.ropo_bench.rotate(x, theta_forward, theta_reverse, planes == "mirror", transpose)  # type: ignore[no-any-return]
    rotated: Tensor = _Rotate.apply(x, theta_forward, theta_reverse, planes, transpose)  # type: ignore[no-untyped-call]
    return rotated


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        theta_forward: Tensor | None,
        theta_reverse: Tensor | None,
        planes: Planes,
        transpose: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, theta_forward, theta_reverse)
        ctx.planes, ctx.transpose = planes, transpose
        return rotate_forward(x, (theta_forward, theta_reverse), planes, transpose)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        x, *thetas = ctx.saved_tensors
        both = (thetas[0], thetas[1])
        if any(ctx.needs_input_grad[1:3]):
            wants_x = ctx.needs_input_grad[0]
            grad_x, grads = rotate_backward(x, grad, both, ctx.planes, ctx.transpose, wants_x)
            return grad_x, grads[0], grads[1], None, None
        return rotate_forward(grad, both, ctx.planes, not ctx.transpose), None, None, None, None


def rotate_forward(x: Tensor, thetas: Thetas, planes: Planes, transpose: bool) -> Tensor:
    """y = R x (R^T x with `transpose`) without autograd, by the kernel that there is."""
    x_ND = x.detach().reshape(-1, x.shape[-1]).contiguous()
    if not _turns_anything(x_ND, thetas):
        return x_ND.clone().reshape(x.shape)
    kernel = kernels.find(x.device, x.dtype)
    if kernel is None:
        return _forward(x_ND, thetas, planes, transpose).reshape(x.shape)
    y_ND: Tensor = kernel.forward(x_ND, *thetas, planes, transpose)
    return y_ND.reshape(x.shape)


def rotate_backward(
    x: Tensor, grad: Tensor, thetas: Thetas, planes: Planes, transpose: bool, wants_x: bool = True
) -> tuple[Tensor | None, Thetas]:
    """Gradients of `rotate_forward` in x (where wanted) and both thetas from x and dL/dy."""
    x_ND, g_ND = (t.detach().reshape(-1, x.shape[-1]).contiguous() for t in (x, grad))
    if not _turns_anything(x_ND, thetas):
        zeros = [None if theta is None else torch.zeros_like(theta) for theta in thetas]
        return g_ND.clone().reshape(x.shape), (zeros[0], zeros[1])
    kernel = kernels.find(x.device, x.dtype)
    if kernel is kernels.cpu:
        gradients = kernels.cpu.backward(x_ND, g_ND, *thetas, planes, transpose, wants_x)
    else:
        gradients = (_backward if kernel is None else kernel.backward)(x_ND, g_ND, *thetas, planes, transpose)
    return None if gradients[0] is None else gradients[0].reshape(x.shape), (gradients[1], gradients[2])


def _turns_anything(x_ND: Tensor, thetas: Thetas) -> bool:
    return x_ND.numel() > 0 and x_ND.shape[1] > 1 and any(theta is not None for theta in thetas)


def _forward(x_ND: Tensor, thetas: Thetas, planes: Planes, transpose: bool) -> Tensor:
    """In torch: all rounds in place on one feature-major slab of tokens at a time."""
    y_ND = torch.empty_like(x_ND)
    turns = _turns(x_ND, thetas, planes, transpose)
    step = _slab_tokens(x_ND, x_ND.shape[1])
    for start in range(0, len(x_ND), step):
        part_ND = x_ND[start : start + step]
        slab_DN = torch.empty(part_ND.shape[::-1], dtype=_work_dtype(x_ND), device=x_ND.device).copy_(part_ND.T)
        for _, round_, cos, sin in turns:
            _turn(slab_DN, round_, cos, sin)
        y_ND[start : start + step] = slab_DN.T
    return y_ND


def _backward(
    x_ND: Tensor, g_ND: Tensor, forward: Tensor | None, reverse: Tensor | None, planes: Planes, transpose: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """In torch: before a round is undone dL/dt = sum over tokens of (g_j y_i - g_i y_j) for each pair (i, j)."""
    d, sign, thetas = x_ND.shape[1], -1.0 if transpose else 1.0, (forward, reverse)
    grad_ND = torch.empty_like(x_ND)
    grads = tuple(None if t is None else torch.zeros_like(t, dtype=_work_dtype(x_ND)) for t in thetas)
    turns = _turns(x_ND, thetas, planes, transpose)
    step = _slab_tokens(x_ND, 2 * d)
    for start in range(0, len(x_ND), step):
        n = len(x_ND[start : start + step])
        both_D2N = torch.empty(d, 2 * n, dtype=_work_dtype(x_ND), device=x_ND.device)  # x beside g: one turn for both
        both_D2N[:, :n] = x_ND[start : start + step].T
        both_D2N[:, n:] = g_ND[start : start + step].T
        for _, round_, cos, sin in turns:
            _turn(both_D2N[:, :n], round_, cos, sin)
        for tree, round_, cos, sin in reversed(turns):
            i, j = both_D2N[round_.first], both_D2N[round_.second]
            cross = (i[:, :n] * j[:, n:]).sub_(i[:, n:] * j[:, :n]).sum(dim=1)
            target = grads[tree]
            assert target is not None
            target[round_.angles] += cross * sign
            _turn(both_D2N, round_, cos, -sin)
        grad_ND[start : start + step] = both_D2N[:, n:].T
    done = tuple(None if g is None or t is None else g.to(t.dtype) for g, t in zip(grads, thetas, strict=True))
    return grad_ND, done[0], done[1]


def solve(x: Tensor, y: Tensor, planes: Planes = "shared") -> tuple[Tensor, Tensor]:
    """Angles with R x = y for |x| = |y|: fold x onto |x| e_0, then unfold |y| e_0 to y (transitivity of BIG).

    x and y (D,) with D >= 2; returns (theta_forward, theta_reverse), each (D - 1,), in (-pi, pi].
    """
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
        raise ValueError(f"solve: x and y must be two vectors of the same length >= 2, got {x.shape} and {y.shape}")
    if not torch.isclose(x.norm(), y.norm(), rtol=1e-4, atol=0.0):
        raise ValueError(f"solve: a rotation keeps the norm, got |x| = {x.norm():g} and |y| = {y.norm():g}")
    forward, reverse = tree_rounds(len(x)), tree_rounds(len(x), planes)
    # Both trees are folded to index 0: shared planes by ascending stride, mirror planes by descending.
    return _fold_angles(x, forward), -_fold_angles(y, reverse if planes == "shared" else reverse[::-1])


def _fold_angles(x: Tensor, rounds: Sequence[Round]) -> Tensor:
    """Angles that turn every pair (a, b) of x, round after round, into (sqrt(a^2 + b^2), 0)."""
    x, theta = x.clone(), x.new_zeros(len(x) - 1)
    for round_ in rounds:
        a, b = x[round_.first], x[round_.second]
        theta[round_.angles] = torch.atan2(-b, a)
        x[round_.first] = torch.hypot(a, b)
    return theta


def dense(theta_forward: Tensor | None, theta_reverse: Tensor | None, planes: Planes = "shared") -> Tensor:
    """R as a product of D x D matrices, straight from the definition: the reference for every fast path."""
    theta = theta_forward if theta_forward is not None else theta_reverse
    assert theta is not None, "dense needs at least one tree"
    d = len(theta) + 1
    rotation = torch.eye(d, dtype=theta.dtype, device=theta.device)
    levels = range((d - 1).bit_length())
    if theta_forward is not None:
        for level in levels:
            rotation = _dense_round(theta_forward, d, level, "shared") @ rotation
    if theta_reverse is not None:
        for level in levels if planes == "mirror" else reversed(levels):
            rotation = _dense_round(theta_reverse, d, level, planes) @ rotation
    return rotation


def _dense_round(theta: Tensor, d: int, level: int, planes: Planes) -> Tensor:
    offset = sum(len(_pairs(d, lower, planes)) for lower in range(level))
    matrix = torch.eye(d, dtype=theta.dtype, device=theta.device)
    for n, (i, j) in enumerate(_pairs(d, level, planes)):
        c, s = theta[offset + n].cos(), theta[offset + n].sin()
        matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def _pairs(d: int, level: int, planes: Planes) -> list[tuple[int, int]]:
    stride = 2**level
    firsts = range(stride) if planes == "mirror" else range(0, d, 2 * stride)
    return [(i, i + stride) for i in firsts if i + stride < d]


def _slab_tokens(x: Tensor, numbers_a_token: int) -> int:
    """Tokens a slab: what fits the cache on a CPU; all at once on a GPU, where launches are what costs."""
    return max(1, SLAB_NUMBERS // numbers_a_token) if x.device.type == "cpu" else max(1, x.numel())


def _work_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _turns(x: Tensor, thetas: Thetas, planes: Planes, transpose: bool) -> list[tuple[int, Round, Tensor, Tensor]]:
    """The rounds of R (of R^T) in the order in which they act on x: tree, round, cos (n, 1), sin (n, 1)."""
    d, turns = x.shape[-1], []
    for tree, theta in enumerate(thetas):
        if theta is None:
            continue
        rounds = tree_rounds(d, planes if tree == 1 else "shared")
        angle = theta.detach().to(_work_dtype(x))[:, None]
        cos, sin = angle.cos(), -angle.sin() if transpose else angle.sin()
        unfolds_shared = tree == 1 and planes == "shared"
        for round_ in reversed(rounds) if unfolds_shared else rounds:
            turns.append((tree, round_, cos[round_.angles], sin[round_.angles]))
    return turns[::-1] if transpose else turns


def _turn(x_DN: Tensor, round_: Round, cos: Tensor, sin: Tensor) -> None:
    """Turn the pairs of one round in place; exact at angle 0."""
    a, b = x_DN[round_.first], x_DN[round_.second]
    lifted = a * sin
    a.mul_(cos).addcmul_(b, sin, value=-1)
    b.mul_(cos).add_(lifted)
