"""Log-probabilities of completions; logits exist only for completion tokens, a chunk at a time.

Shapes: N sequences, T tokens, C completion tokens of the batch, D hidden width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ropo_bench.training.batches import Batch

CHUNK_TOKENS = 2048
_LOGIT_CHANGES = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class CompletionLogps(nn.Module):
    """A causal language model whose forward pass yields completion log-probabilities, so DDP can wrap it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Log-probabilities summed over each row's completion tokens, shape (N,), fp32."""
        return completion_logps(self.model, batch)


def completion_logps(model: nn.Module, batch: Batch) -> Tensor:
    """Log-probabilities summed over each row's completion tokens, shape (N,), fp32."""
    logps_C, row_C = token_logps(model, batch.input_NT, batch.attention_NT, batch.completion_NT)
    logps_N = torch.zeros(batch.input_NT.shape[0], dtype=logps_C.dtype, device=logps_C.device)
    return logps_N.index_add(0, row_C, logps_C)


def token_logps(model: nn.Module, input_NT: Tensor, attention_NT: Tensor, scored_NT: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of every scored token given what precedes it, and the row it stands in; both (C,)."""
    causal: Any = model
    if hasattr(model, "get_base_model"):  # PEFT's wrapper
        causal = causal.get_base_model()
    trunk, head = causal.base_model, causal.get_output_embeddings()
    hidden_NTD = trunk(input_ids=input_NT, attention_mask=attention_NT, use_cache=False).last_hidden_state
    row_C, column_C = scored_NT[:, 1:].nonzero(as_tuple=True)
    hidden_CD = hidden_NTD[row_C, column_C]
    target_C = input_NT[row_C, column_C + 1]
    pieces = [
        checkpoint(_head_logps, head, causal.config, h, t, use_reentrant=False)
        if torch.is_grad_enabled() and hidden_CD.shape[0] > CHUNK_TOKENS
        else _head_logps(head, causal.config, h, t)
        for h, t in zip(torch.split(hidden_CD, CHUNK_TOKENS), torch.split(target_C, CHUNK_TOKENS), strict=True)
    ]
    return torch.cat(pieces), row_C


def _head_logps(head: nn.Module, config: Any, hidden_CD: Tensor, target_C: Tensor) -> Tensor:
    logits_CV = _model_logits(head(hidden_CD), config).float()
    return -nn.functional.cross_entropy(logits_CV, target_C, reduction="none")


def _model_logits(logits_CV: Tensor, config: Any) -> Tensor:
    """What some architectures do to the head's output (Gemma 2 caps it, Cohere and Granite scale it)."""
    cap, scale, divisor = (getattr(config, name, None) for name in _LOGIT_CHANGES)
    if scale is not None:
        logits_CV = logits_CV * scale
    if divisor is not None:
        logits_CV = logits_CV / divisor
    return logits_CV if cap is None else torch.tanh(logits_CV / cap) * cap
