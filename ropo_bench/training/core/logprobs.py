"""Log-probabilities of completions: hidden states of a batch, then the head on its scored tokens only.

Shapes: R rows, T tokens a row, C scored tokens of the batch, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ropo_bench.adapters import plain_model
from ropo_bench.recipes.method import CoreRecipe
from ropo_bench.training.core.attention import can_pack, use_packed_attention
from ropo_bench.training.core.head import head_logps
from ropo_bench.training.core.layers import takes_scored
from ropo_bench.training.core.logit_change import logit_change
from ropo_bench.training.core.packing import Batch, pack, pad
from ropo_bench.types import TokenizedPair


def collate(model: nn.Module, pairs: Sequence[TokenizedPair], core: CoreRecipe, pad_id: int) -> Batch:
    """The pairs as the model and the switches of the core want them: packed or padded."""
    causal = plain_model(model)
    if core.packing and can_pack(causal.config) and logit_change(causal) is not None:
        return pack(pairs, core.prefix_sharing)
    return pad(pairs, pad_id)


def completion_logps(model: nn.Module, batch: Batch, fused: bool) -> Tensor:
    """Log-probabilities summed over each sequence's scored tokens, shape (2B,), fp32."""
    logps_C = token_logps(model, batch, fused)
    logps_N = torch.zeros(batch.num_sequences, dtype=logps_C.dtype, device=logps_C.device)
    return logps_N.index_add(0, batch.sequence_C, logps_C)


def token_logps(model: nn.Module, batch: Batch, fused: bool) -> Tensor:
    """Log-probability of every scored token given what precedes it in its sequence, (C,), fp32."""
    causal = plain_model(model)
    change = logit_change(causal)
    if change is None:
        return _own_logps(causal, batch)
    return head_logps(scored_hidden(model, batch), causal.get_output_embeddings(), batch.target_C, change, fused)


def _own_logps(causal: Any, batch: Batch) -> Tensor:
    """The same from the model's own logits, all of them at once: where its head is more than a product."""
    logits_RTV = causal(input_ids=batch.input_RT, attention_mask=batch.attention_RT, use_cache=False).logits
    logits_CV = logits_RTV.flatten(0, 1)[batch.source_C].float()
    return -nn.functional.cross_entropy(logits_CV, batch.target_C, reduction="none")


def scored_hidden(model: nn.Module, batch: Batch) -> Tensor:
    """The hidden states that predict the batch's scored tokens, (C, D)."""
    causal = plain_model(model)
    inputs: dict[str, Any] = {"attention_mask": batch.attention_RT}
    if batch.segments:
        use_packed_attention(causal)
        # The segments say it all; a mask of four dimensions keeps transformers from making one of (T, T).
        unread = batch.input_RT.new_zeros(1, 1, 1, 1)
        inputs = {"attention_mask": unread, "position_ids": batch.position_RT, "segments": batch.segments}
    if takes_scored(model):
        return causal.base_model(  # type: ignore[no-any-return]
            input_ids=batch.input_RT, use_cache=False, scored=batch.source_C, **inputs
        ).last_hidden_state[0]
    hidden_RTD = causal.base_model(input_ids=batch.input_RT, use_cache=False, **inputs).last_hidden_state
    return hidden_RTD.flatten(0, 1)[batch.source_C]  # type: ignore[no-any-return]
