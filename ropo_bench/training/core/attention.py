"""Attention over a packed row: every token sees the tokens before it in its own sequence, and nothing else.

transformers calls an attention function by name, so no model code is forked: `attend` is registered under ATTENTION
and gets the row's segments with every call. A call without segments (generation, a padded batch) is SDPA as ever.

On a CPU each pair is attended to on its own, which skips the blocks between pairs; on a GPU FlexAttention skips them.
Shapes: H heads, K key-value heads, T tokens of the row, S tokens of a segment, E width of a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ropo_bench.training.core.packing import Segment

ATTENTION = "ropo_packed"
# Architectures whose attention is no more than scaled, causal and possibly windowed; others are padded.
ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def can_pack(config: Any) -> bool:
    """Whether rows of several sequences can be attended to in this architecture."""
    return config.model_type in ARCHITECTURES


def use_packed_attention(model: Any) -> None:
    """Make a transformers model call `attend`; its results for unpacked inputs stay those of SDPA."""
    model.config._attn_implementation = ATTENTION


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    segments: tuple[Segment, ...] = (),
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers asks for it: query (1, H, T, E), key and value (1, K, T, E) to (1, T, H, E)."""
    if not segments:
        settings = {"dropout": dropout, "scaling": scaling, **kwargs}
        out: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
        return out
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if torch.is_autocast_enabled(query.device.type):
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if query.device.type == "cpu" or dropout:
        groups = query.shape[1] // key.shape[1]
        if groups > 1:
            key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        if dropout:
            return _dropped(query, key, value, scaling, dropout, sliding_window, segments), None
        return _Segmented.apply(query, key, value, scaling, sliding_window, segments), None  # type: ignore[no-untyped-call]
    return _flex(query, key, value, scaling, sliding_window, segments).transpose(1, 2), None


AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


class _Segmented(torch.autograd.Function):
    """SDPA's own CPU kernel segment by segment, into and out of whole tensors: no slices in the graph to add up."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scaling: float,
        window: int | None,
        segments: tuple[Segment, ...],
    ) -> Tensor:
        out_THE = query.new_empty(1, query.shape[2], query.shape[1], query.shape[3])
        sums = []
        for where, mask in _parts(segments, query.dtype, window):
            part, logsumexp = _flash(
                query[:, :, where],
                key[:, :, where],
                value[:, :, where],
                0.0,
                mask is None,
                attn_mask=mask,
                scale=scaling,
            )
            out_THE[:, where] = part.transpose(1, 2)
            sums.append(logsumexp)
        ctx.save_for_backward(query, key, value, out_THE, *sums)
        ctx.settings = scaling, window, segments
        return out_THE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_THE: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out_THE, *sums = ctx.saved_tensors
        scaling, window, segments = ctx.settings
        grad, out = grad_THE.transpose(1, 2), out_THE.transpose(1, 2)
        grads = [torch.empty_like(out_THE).transpose(1, 2) for _ in range(3)]
        for (where, mask), logsumexp in zip(_parts(segments, query.dtype, window), sums, strict=True):
            inputs = (t[:, :, where] for t in (grad, query, key, value, out))
            parts = _flash_backward(*inputs, logsumexp, 0.0, mask is None, attn_mask=mask, scale=scaling)
            for whole, part in zip(grads, parts, strict=True):
                whole[:, :, where] = part
        return *grads, None, None, None


def _dropped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    dropout: float,
    window: int | None,
    segments: tuple[Segment, ...],
) -> Tensor:
    """With dropout of attention weights, which the fast kernels do not have; a config of its own must ask for it."""
    outs = []
    for where, mask in _parts(segments, query.dtype, window):
        q, k, v = (t[:, :, where] for t in (query, key, value))
        added = None if mask is None else mask.to(q.device)
        out = nn.functional.scaled_dot_product_attention(q, k, v, added, dropout, mask is None, scale=scaling)
        outs.append(out.transpose(1, 2))
    return torch.cat(outs, 1)


@lru_cache(maxsize=2)  # those of a row: every layer asks for them, in the forward and the backward pass
def _parts(
    segments: tuple[Segment, ...], dtype: torch.dtype, window: int | None
) -> list[tuple[slice, Tensor | None]]:
    """Where each segment stands in the row, and its mask (S, S); None for one that is simply causal."""
    parts, start = [], 0
    for segment in segments:
        parts.append((slice(start, start + segment.length), _mask(segment, dtype, window)))
        start += segment.length
    return [part for part, segment in zip(parts, segments, strict=True) if segment.length]


def _mask(segment: Segment, dtype: torch.dtype, window: int | None) -> Tensor | None:
    """What is added to the scores of a segment: 0 where a token is seen, -inf elsewhere."""
    windowed = window is not None and segment.length > window
    if not any(segment.branches[1:]) and not windowed:
        return None
    index_S = torch.arange(segment.length)
    _, branch_S, position_S = (torch.tensor(column) for column in zip(*_columns([segment]), strict=True))
    seen = index_S[:, None] >= index_S
    seen &= (branch_S == 0) | (branch_S[:, None] == branch_S)
    if windowed:
        assert window is not None
        seen &= position_S[:, None] - position_S < window
    return torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, -math.inf)


def _flex(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, window: int | None, segments: tuple[Segment, ...]
) -> Tensor:
    """The same by FlexAttention, compiled on a GPU: one call, blocks that nobody sees are skipped."""
    from torch.nn.attention.flex_attention import flex_attention

    mask = _block_mask(segments, query.device, window)
    attention = _compiled() if query.device.type == "cuda" else flex_attention
    out: Tensor = attention(query, key, value, block_mask=mask, scale=scaling, enable_gqa=True)
    return out


@lru_cache(maxsize=1)
def _compiled() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)


@lru_cache(maxsize=8)
def _block_mask(segments: tuple[Segment, ...], device: torch.device, window: int | None) -> Any:
    """FlexAttention's block mask of a row; made once a batch, not once a layer."""
    from torch.nn.attention.flex_attention import create_block_mask

    segment_T, part_T, position_T = (torch.tensor(c, device=device) for c in zip(*_columns(segments), strict=True))

    def seen(_b: Tensor, _h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        same = (segment_T[q] == segment_T[k]) & (q >= k) & ((part_T[k] == 0) | (part_T[q] == part_T[k]))
        return same if window is None else same & (position_T[q] - position_T[k] < window)

    total = len(segment_T)
    return create_block_mask(seen, None, None, total, total, device=device)


def _columns(segments: Sequence[Segment]) -> list[tuple[int, int, int]]:
    """(segment, 0 what is shared | 1, 2, ... a branch, position) of every token of a row."""
    columns = []
    for number, (first, branches) in enumerate(segments):
        columns += [(number, 0, i) for i in range(first)]
        for branch, length in enumerate(branches, 1):
            columns += [(number, branch, first + i) for i in range(length)]
    return columns
