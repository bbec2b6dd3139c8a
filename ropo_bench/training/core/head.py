"""Log-probabilities of target tokens straight from hidden states; logits exist one tile at a time.

Shapes: C completion tokens, D hidden width, V vocabulary; a tile is c tokens by v entries of the vocabulary.
One pass over the vocabulary keeps a running maximum and sum (online softmax, arXiv 1805.02867). As

    d logp / d hidden = W[target] - sum over V of softmax * W

depends on the loss by one factor a token only, a frozen head gathers it in the same pass, where the logits are at
hand, and its backward is one product by that factor. A trained head needs the loss's gradient for every weight, so
its backward makes the logits again. Matrix products run in the autocast dtype, everything else in fp32 (fp64 for
fp64 inputs).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from ropo_bench.training.core import products
from ropo_bench.training.core.logit_change import LogitChange

# Logits of a tile: large enough for matrix products at full speed, small enough for the caches of a CPU.
TILE_ELEMENTS = {"cpu": 2**21, "cuda": 2**24}
# Tokens at a time through a head that is not a plain nn.Linear.
CHUNK_TOKENS = 256


def head_logps(hidden_CD: Tensor, head: nn.Module, target_C: Tensor, change: LogitChange, fused: bool) -> Tensor:
    """Log-probability of each target token in nats, shape (C,), fp32; for one backward pass.

    hidden_CD: the trunk's output. head: the output embedding, frozen or trained. target_C: token ids in 0..V-1.
    change: what the model makes of the head's output. fused=False makes all logits at once; fused=True never does. A
    head that is more than a plain nn.Linear (an adapter, a hook, a subclass) is called as it is, on checkpointed
    chunks.
    """
    if not fused:
        return _naive_logps(hidden_CD, head, target_C, change)
    if not _is_plain(head):
        return _chunked_logps(hidden_CD, head, target_C, change)
    device = hidden_CD.device.type
    if torch.is_autocast_enabled(device):
        hidden_CD = hidden_CD.to(torch.get_autocast_dtype(device))
    trained = any(parameter.requires_grad for parameter in head.parameters())
    arguments = (hidden_CD, head.weight, head.bias, target_C, change)
    if not (torch.is_grad_enabled() and (trained or hidden_CD.requires_grad)):
        with torch.no_grad():
            return _scan(*arguments, False).logps_C
    function: Any = _TrainedHead if trained else _FrozenHead
    logps_C: Tensor = function.apply(*arguments)
    return logps_C


@torch.no_grad()
def head_choices(
    hidden_UD: Tensor, head: nn.Module, place_C: Tensor, target_C: Tensor, change: LogitChange
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target token in nats, and whether no token has a higher one, both (C,).

    hidden_UD: the trunk's output where tokens are predicted. place_C: which of these predicts a target; one may
    predict several. The rest as in head_logps. For scoring: fp32 (fp64 for fp64 inputs), without a gradient.
    """
    logps_C = hidden_UD.new_empty(len(target_C), dtype=_wide(hidden_UD.dtype))
    greedy_C = torch.empty_like(target_C, dtype=torch.bool)
    width = head.weight.shape[0] if _is_plain(head) else len(head(hidden_UD[:1])[0])
    for rows in _slices(len(hidden_UD), max(1, TILE_ELEMENTS["cuda"] // width)):
        hidden_uD = hidden_UD[rows]
        product_uV = products.linear(hidden_uD, head.weight, head.bias) if _is_plain(head) else head(hidden_uD)
        logits_uV = change(product_uV.to(logps_C.dtype))
        here = ((place_C >= rows.start) & (place_C < rows.stop)).nonzero()[:, 0]
        place, target = place_C[here] - rows.start, target_C[here]
        logps_C[here] = logits_uV[place, target] - logits_uV.logsumexp(1)[place]
        greedy_C[here] = logits_uV.argmax(1)[place] == target
    return logps_C, greedy_C


def _is_plain(head: nn.Module) -> TypeGuard[nn.Linear]:
    # Hooks and a replaced forward are how parameters get gathered or moved to the device just in time.
    hooked = head._forward_pre_hooks or head._forward_hooks or "forward" in vars(head)
    return type(head) is nn.Linear and not hooked


def _naive_logps(hidden_CD: Tensor, head: nn.Module, target_C: Tensor, change: LogitChange) -> Tensor:
    logits_CV = change(head(hidden_CD))
    logits_CV = logits_CV.to(_wide(logits_CV.dtype))
    return -nn.functional.cross_entropy(logits_CV, target_C, reduction="none")


def _chunked_logps(hidden_CD: Tensor, head: nn.Module, target_C: Tensor, change: LogitChange) -> Tensor:
    rows = _slices(len(hidden_CD), CHUNK_TOKENS)
    if len(rows) <= 1:
        return _naive_logps(hidden_CD, head, target_C, change)
    return torch.cat(
        [checkpoint(_naive_logps, hidden_CD[r], head, target_C[r], change, use_reentrant=False) for r in rows]
    )


class _Scan(NamedTuple):
    logps_C: Tensor
    log_sums_C: Tensor  # log of the sum over V of exp(logit)
    direction_CD: Tensor | None  # d logp / d hidden


def _scan(
    hidden_CD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    target_C: Tensor,
    change: LogitChange,
    with_direction: bool,
) -> _Scan:
    """One pass over the vocabulary, in the dtype of hidden_CD."""
    dtype, wide = hidden_CD.dtype, _wide(hidden_CD.dtype)
    top_C = hidden_CD.new_full((len(hidden_CD),), -math.inf, dtype=wide)
    sum_C, picked_C = torch.zeros_like(top_C), torch.zeros_like(top_C)
    direction_CD = torch.zeros_like(hidden_CD, dtype=wide) if with_direction else None
    for columns, weight_vD, tiles in _columns(hidden_CD, weight_VD, bias_V, change):
        for rows, logits_cv in tiles:
            at_c1, here_c1 = _position(target_C[rows], columns)
            picked_C[rows] = torch.where(here_c1, logits_cv.gather(1, at_c1), picked_C[rows, None]).squeeze(1)
            top_c = torch.maximum(top_C[rows], logits_cv.amax(1))
            decay_c = (top_C[rows] - top_c).exp_()
            slope = change.slope(logits_cv) if with_direction else 1.0
            share_cv = logits_cv.sub_(top_c[:, None]).exp_()
            sum_C[rows] = sum_C[rows] * decay_c + share_cv.sum(1)
            top_C[rows] = top_c
            if direction_CD is not None:
                # The target's own share comes last, as 1 - p: here it would cancel to rounding errors.
                share_cv.scatter_(1, at_c1, share_cv.gather(1, at_c1).masked_fill_(here_c1, 0))
                _add_product(direction_CD[rows].mul_(decay_c[:, None]), share_cv.mul_(slope).to(dtype), weight_vD)
    log_sums_C = top_C + sum_C.log()
    logps_C = picked_C - log_sums_C
    if direction_CD is not None:
        own_C = -torch.expm1(logps_C) * change.slope(picked_C)
        for rows in _slices(len(hidden_CD), CHUNK_TOKENS):
            own_cD = weight_VD[target_C[rows]].to(dtype) * own_C[rows, None]
            direction_CD[rows].div_(-sum_C[rows, None]).add_(own_cD)
    return _Scan(logps_C, log_sums_C, direction_CD)


class _FrozenHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_CD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, target_C: Tensor, change: LogitChange
    ) -> Tensor:
        logps_C, _, direction_CD = _scan(hidden_CD, weight_VD, bias_V, target_C, change, True)
        assert direction_CD is not None
        ctx.save_for_backward(direction_CD.to(hidden_CD.dtype))
        return logps_C

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_C: Tensor) -> tuple[Tensor | None, ...]:
        (direction_CD,) = ctx.saved_tensors
        # In place: nothing else needs it, and autograd refuses to give a changed tensor to a second backward.
        return direction_CD.mul_(grad_C[:, None]), None, None, None, None


class _TrainedHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_CD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, target_C: Tensor, change: LogitChange
    ) -> Tensor:
        logps_C, log_sums_C, _ = _scan(hidden_CD, weight_VD, bias_V, target_C, change, False)
        ctx.save_for_backward(hidden_CD, weight_VD, bias_V, target_C, log_sums_C)
        ctx.change = change
        return logps_C

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_C: Tensor) -> tuple[Tensor | None, ...]:
        return *_trained_gradients(grad_C, ctx.needs_input_grad, ctx.change, *ctx.saved_tensors), None, None


def _trained_gradients(
    grad_C: Tensor,
    needed: tuple[bool, ...],
    change: LogitChange,
    hidden_CD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    target_C: Tensor,
    log_sums_C: Tensor,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of hidden states, weight and bias, where needed."""
    dtype, wide = hidden_CD.dtype, _wide(hidden_CD.dtype)
    hidden_grad_CD = torch.zeros_like(hidden_CD, dtype=wide) if needed[0] else None
    weight_grad_VD = torch.empty_like(weight_VD) if needed[1] else None
    bias_grad_V = torch.empty_like(bias_V) if bias_V is not None and needed[2] else None
    for columns, weight_vD, tiles in _columns(hidden_CD, weight_VD, bias_V, change):
        # The sum over tiles is wide; only the whole of it is rounded to the weight's dtype.
        sum_vD, sum_v = torch.zeros_like(weight_vD, dtype=wide), weight_vD.new_zeros(len(weight_vD), dtype=wide)
        for rows, logits_cv in tiles:
            at_c1, here_c1 = _position(target_C[rows], columns)
            slope = change.slope(logits_cv)
            grad_cv = logits_cv.sub_(log_sums_C[rows, None]).exp_().mul_(-grad_C[rows, None])
            grad_cv = grad_cv.scatter_add_(1, at_c1, here_c1 * grad_C[rows, None]).mul_(slope)
            if bias_grad_V is not None:
                sum_v += grad_cv.sum(0)
            grad_cv = grad_cv.to(dtype)
            if hidden_grad_CD is not None:
                _add_product(hidden_grad_CD[rows], grad_cv, weight_vD)
            if weight_grad_VD is not None:
                _add_product(sum_vD, grad_cv.T, hidden_CD[rows])
        if weight_grad_VD is not None:
            weight_grad_VD[columns] = sum_vD
        if bias_grad_V is not None:
            bias_grad_V[columns] = sum_v
    return None if hidden_grad_CD is None else hidden_grad_CD.to(dtype), weight_grad_VD, bias_grad_V


def _columns(
    hidden_CD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, change: LogitChange
) -> Iterator[tuple[slice, Tensor, Iterator[tuple[slice, Tensor]]]]:
    """Entries of the vocabulary, their weights in the dtype of hidden_CD, and their tiles: tokens and logits.

    Logits are wide and changed; whoever takes a tile may overwrite it.
    """
    dtype, wide = hidden_CD.dtype, _wide(hidden_CD.dtype)
    elements = TILE_ELEMENTS.get(hidden_CD.device.type, TILE_ELEMENTS["cuda"])
    height = max(1, min(len(hidden_CD), math.isqrt(elements)))

    def tiles(weight_vD: Tensor, bias_v: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
        for rows in _slices(len(hidden_CD), height):
            yield rows, change(products.linear(hidden_CD[rows], weight_vD, bias_v).to(wide))

    for columns in _slices(len(weight_VD), max(1, elements // height)):
        weight_vD = weight_VD[columns].to(dtype)
        yield columns, weight_vD, tiles(weight_vD, None if bias_V is None else bias_V[columns].to(dtype))


def _slices(size: int, width: int) -> list[slice]:
    """Slices of nearly equal size, at most `width` wide."""
    count = -(-size // width)
    return [slice(i * size // count, (i + 1) * size // count) for i in range(count)]


def _position(target_c: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """Column of each target inside the tile, clamped into it, and whether it is there at all; both (c, 1)."""
    at_c1 = target_c[:, None] - columns.start
    width = columns.stop - columns.start
    return at_c1.clamp(0, width - 1), (at_c1 >= 0) & (at_c1 < width)


def _add_product(sum_ab: Tensor, x_ac: Tensor, y_cb: Tensor) -> None:
    """sum_ab += x_ac @ y_cb, where the sum may be wider than the factors."""
    if sum_ab.dtype == x_ac.dtype:
        sum_ab.addmm_(x_ac, y_cb)
    else:
        sum_ab += x_ac @ y_cb


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
