# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators
# ruff: noqa: RET505, RUF005 (Triton compiles what follows a return, and knows no unpacking into a tuple)
"""BIG as Triton kernels: one program turns a few tokens at a time, in registers from load to store, each once.

A round of a tree goes on with half of the numbers (givens.py): the first indices a of its pairs; the seconds b
wait in registers. So a fold is a recursion: split x into (a, b), turn them, fold a. An unfold is the same
recursion, turned on the way back, and where both trees have the same planes one recursion does both. All its
levels together handle 2 D numbers, not D log D. Pairs (2k, 2k + 1) of what is left are planes "interleaved";
pairs (i, i + n) are planes in "halves", the mirror tree's.

The last rounds, on TAIL numbers or fewer, would be all latency. Each program multiplies their matrix out once, by
sending the unit vectors through them, and applies it to its tokens. Backward sums up the matrix's gradient, and
at the end sends the unit vectors and that gradient through the last rounds, as if they were tokens: dL/dt is the
same sum of (a g_b - g_a b) over them.

Padding: W is D rounded up to a power of two; a pair whose second is no index below D has c = 1, s = 0.
Arithmetic is fp32.

Letters: N tokens, D features, P programs; T tokens at once, W >= D, n pairs, S <= TAIL numbers in the tail.
"""

from __future__ import annotations

import triton
import triton.language as tl

TAIL = 32


@triton.constexpr_function
def _start(d, n, width, halves):
    """Where the angles of the round of n pairs (of `width`) start in a table; halves leave its first entry out,
    so that every round of a power of two is aligned."""
    stride = width // (2 * n)
    return n if halves else d - (d + stride - 1) // stride


@triton.constexpr_function
def _count(d, n, width, halves):
    stride = width // (2 * n)
    return min(n, d - n) if halves else (d + stride - 1) // (2 * stride)


@triton.jit
def _parts(x, HALVES: tl.constexpr):
    n: tl.constexpr = x.shape[1] // 2
    if HALVES:
        return tl.split(tl.permute(tl.reshape(x, (x.shape[0], 2, n)), (0, 2, 1)))
    else:
        return tl.split(tl.reshape(x, (x.shape[0], n, 2)))


@triton.jit
def _whole(a, b, HALVES: tl.constexpr):
    width: tl.constexpr = a.shape[1] * 2
    if HALVES:
        return tl.reshape(tl.permute(tl.join(a, b), (0, 2, 1)), (a.shape[0], width))
    else:
        return tl.reshape(tl.join(a, b), (a.shape[0], width))


@triton.jit
def _angles(table, n: tl.constexpr, D: tl.constexpr, W: tl.constexpr, HALVES: tl.constexpr):
    k = tl.arange(0, n)[None, :]
    at, mask = table + _start(D, n, W, HALVES) + k, k < _count(D, n, W, HALVES)
    return tl.load(at, mask=mask, other=1.0), tl.load(at + D, mask=mask, other=0.0)


@triton.jit
def _turn(a, b, c, s):
    return c * a - s * b, s * a + c * b


@triton.jit
def _eye(S: tl.constexpr):
    return (tl.arange(0, S)[:, None] == tl.arange(0, S)[None, :]).to(tl.float32)


@triton.jit
def _rotate(x, tail, fold, unfold, D: tl.constexpr, W: tl.constexpr, HALVES: tl.constexpr):
    """x (T, ..) folded, then unfolded; fold and unfold are tables or None; tail (S, S) holds R e_k in row k."""
    n: tl.constexpr = x.shape[1] // 2
    if n == 0:
        return x
    elif tail is not None and x.shape[1] == tail.shape[0]:
        return tl.sum(x[:, :, None] * tail[None, :, :], 1)
    else:
        a, b = _parts(x, HALVES)
        if fold is not None:
            c, s = _angles(fold, n, D, W, HALVES)
            a, b = _turn(a, b, c, s)
        a = _rotate(a, tail, fold, unfold, D, W, HALVES)
        if unfold is not None:
            c, s = _angles(unfold, n, D, W, HALVES)
            a, b = _turn(a, b, c, s)
        return _whole(a, b, HALVES)


@triton.jit
def _back(x, g, tail, fold, unfold, tail_sum, folds, unfolds, D: tl.constexpr, W: tl.constexpr, HALVES: tl.constexpr):
    """y, dL/dx and the grown sums, from the input x and g = dL/dy; folds, unfolds: one sum (n,) a round.

    The values walk forward and the gradients backward at once: both go down the recursion and come up again.
    A round's dL/dt needs both on the same side of it: after a fold's turn, before an unfold's.
    """
    n: tl.constexpr = x.shape[1] // 2
    if n == 0:
        return x, g, tail_sum, folds, unfolds
    elif tail is not None and x.shape[1] == tail.shape[0]:
        y = tl.sum(x[:, :, None] * tail[None, :, :], 1)
        tail_sum += tl.sum(x[:, :, None] * g[:, None, :], 0)
        return y, tl.sum(g[:, None, :] * tail[None, :, :], 2), tail_sum, folds, unfolds
    else:
        a, b = _parts(x, HALVES)
        g_a, g_b = _parts(g, HALVES)
        if fold is not None:
            c, s = _angles(fold, n, D, W, HALVES)
            a, b = _turn(a, b, c, s)
        if unfold is not None:
            c_up, s_up = _angles(unfold, n, D, W, HALVES)
            g_a, g_b = _turn(g_a, g_b, c_up, -s_up)
        up, g_up, tail_sum, more_folds, more_unfolds = _back(
            a, g_a, tail, fold, unfold, tail_sum, folds[1:], unfolds[1:], D, W, HALVES
        )
        if fold is not None:
            folds = (folds[0] + tl.sum(a * g_b - g_up * b, 0),) + more_folds
            g_x = _whole(*_turn(g_up, g_b, c, -s), HALVES)
        else:
            g_x = _whole(g_up, g_b, HALVES)
        if unfold is not None:
            unfolds = (unfolds[0] + tl.sum(up * g_b - g_a * b, 0),) + more_unfolds
            up, b = _turn(up, b, c_up, s_up)
        return _whole(up, b, HALVES), g_x, tail_sum, folds, unfolds


@triton.jit
def _zeros(n: tl.constexpr, last: tl.constexpr):
    if n == last:
        return ()
    else:
        return (tl.zeros((n,), tl.float32),) + _zeros(n // 2, last)


@triton.jit
def _store(sums, at, D: tl.constexpr, W: tl.constexpr, HALVES: tl.constexpr):
    if len(sums) > 0:
        n: tl.constexpr = sums[0].shape[0]
        k = tl.arange(0, n)
        tl.store(at + _start(D, n, W, HALVES) + k, sums[0], mask=k < _count(D, n, W, HALVES))
        _store(sums[1:], at, D, W, HALVES)


@triton.jit(do_not_specialize=["N"])  # or every multiple of 16 would be another compilation, of seconds
def rotate_kernel(
    x_ptr, y_ptr, fold, unfold, N,
    D: tl.constexpr, W: tl.constexpr, T: tl.constexpr, S: tl.constexpr, F: tl.constexpr, U: tl.constexpr,
):  # fmt: skip
    """F, U: the fold, the unfold is in halves; where they differ the trees are two recursions."""
    second = unfold if F == U else None
    tail = _rotate(_eye(S), None, fold, second, D, W, F)
    if F != U:
        tail_up = _rotate(_eye(S), None, None, unfold, D, W, U)
    d = tl.arange(0, W)[None, :]
    for block in range(tl.program_id(0), tl.cdiv(N, T), tl.num_programs(0)):
        t = (block * T + tl.arange(0, T)).to(tl.int64)[:, None]
        mask = (t < N) & (d < D)
        x = tl.load(x_ptr + t * D + d, mask=mask, other=0.0).to(tl.float32)
        y = _rotate(x, tail, fold, second, D, W, F)
        if F != U:
            y = _rotate(y, tail_up, None, unfold, D, W, U)
        tl.store(y_ptr + t * D + d, y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["N"])
def back_kernel(
    x_ptr, g_ptr, grad_ptr, folds_ptr, unfolds_ptr, fold, unfold, N,
    D: tl.constexpr, W: tl.constexpr, T: tl.constexpr, S: tl.constexpr, F: tl.constexpr, U: tl.constexpr,
):  # fmt: skip
    """grad_ptr: dL/dx; folds_ptr, unfolds_ptr (P, D): this program's share of dL/dt, in the tables' order."""
    second = unfold if F == U else None
    tail, tail_sum = _rotate(_eye(S), None, fold, second, D, W, F), tl.zeros((S, S), tl.float32)
    folds, unfolds = _zeros(W // 2, S // 2), _zeros(W // 2, S // 2)
    if F != U:
        tail_up, tail_up_sum = _rotate(_eye(S), None, None, unfold, D, W, U), tl.zeros((S, S), tl.float32)
    d = tl.arange(0, W)[None, :]
    for block in range(tl.program_id(0), tl.cdiv(N, T), tl.num_programs(0)):
        t = (block * T + tl.arange(0, T)).to(tl.int64)[:, None]
        mask = (t < N) & (d < D)
        x = tl.load(x_ptr + t * D + d, mask=mask, other=0.0).to(tl.float32)
        g = tl.load(g_ptr + t * D + d, mask=mask, other=0.0).to(tl.float32)
        if F == U:
            _, g, tail_sum, folds, unfolds = _back(x, g, tail, fold, unfold, tail_sum, folds, unfolds, D, W, F)
        else:
            y = _rotate(x, tail, fold, None, D, W, F)
            _, g, tail_up_sum, _, unfolds = _back(y, g, tail_up, None, unfold, tail_up_sum, (), unfolds, D, W, U)
            _, g, tail_sum, folds, _ = _back(x, g, tail, fold, None, tail_sum, folds, (), D, W, F)
        tl.store(grad_ptr + t * D + d, g.to(grad_ptr.dtype.element_ty), mask=mask)
    last = _zeros(S // 2, 0)
    _, _, _, fold_last, unfold_last = _back(_eye(S), tail_sum, None, fold, second, tail_sum, last, last, D, W, F)
    if F != U:
        _, _, _, _, unfold_last = _back(_eye(S), tail_up_sum, None, None, unfold, tail_sum, (), last, D, W, U)
    if fold is not None:
        at = folds_ptr + tl.program_id(0) * D
        _store(folds, at, D, W, F)
        _store(fold_last, at, D, W, F)
    if unfold is not None:
        at = unfolds_ptr + tl.program_id(0) * D
        _store(unfolds, at, D, W, U)
        _store(unfold_last, at, D, W, U)
