"""Decoding by transformers' own `generate`, for architectures whose states only their own cache class carries.

Its choices are ours: every token is picked by `choose` from the same random numbers, and given back as the only one
that is possible. Slower than `decode` (a finished row stays until the last has finished), and right for every family.
Shapes: B rows of the batch, P prompt tokens, V words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Choose = Callable[[Tensor, int], Tensor]
"""(logits (B, V), step) to tokens (B,)."""


def decode_by_generate(
    model: Any, ids_BP: Tensor, mask_BP: Tensor, choose: Choose, stop_ids: frozenset[int], limits: Sequence[int]
) -> list[list[int]]:
    """New token ids of each row, up to and with its stop token, or its limit of them."""
    from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

    num_prompt = ids_BP.shape[1]

    class Chosen(LogitsProcessor):
        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            token_B = choose(scores, input_ids.shape[1] - num_prompt)
            return torch.full_like(scores, -torch.inf).scatter(1, token_B[:, None], 0.0)

    # Passed whole and in place of the model's own, which may ask for penalties or forbid tokens.
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=max(limits),
        eos_token_id=sorted(stop_ids) or None,
        pad_token_id=min(stop_ids, default=0),
        use_cache=True,
    )
    own_config, model.generation_config = model.generation_config, GenerationConfig()
    try:
        out_BT = model.generate(
            input_ids=ids_BP,
            attention_mask=mask_BP,
            generation_config=config,
            logits_processor=LogitsProcessorList([Chosen()]),
        )
    finally:
        model.generation_config = own_config
    return [_cut(row[num_prompt:], stop_ids, limit) for row, limit in zip(out_BT.tolist(), limits, strict=True)]


def _cut(ids: list[int], stop_ids: frozenset[int], limit: int) -> list[int]:
    end = next((place + 1 for place, id in enumerate(ids) if id in stop_ids), len(ids))
    return ids[: min(end, limit)]
