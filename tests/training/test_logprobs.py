"""Log-probabilities of the fused, packed core against naive ones and the model's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ropo_bench.training.core import logprobs
from ropo_bench.training.core.packing import pack, pad
from ropo_bench.types import TokenizedPair

PAIRS = [
    TokenizedPair("a", (1, 20, 21), (30, 31, 5), (40, 5)),
    TokenizedPair("b", (1, 22), (50, 5), (60, 61, 62, 5)),
]


def naive(model: Any, prompt: tuple[int, ...], completion: tuple[int, ...]) -> float:
    """One sequence alone, no padding, full logits."""
    ids = torch.tensor([prompt + completion])
    logps = model(ids).logits.log_softmax(-1)
    return sum(logps[0, len(prompt) + i - 1, token].item() for i, token in enumerate(completion))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_fused_and_packed_equal_naive_ones(llama: Any, fused: bool, packed: bool) -> None:
    logps = logprobs.completion_logps(llama, pack(PAIRS, share=True) if packed else pad(PAIRS, 0), fused)
    expected = [naive(llama, p.prompt_ids, p.chosen_ids) for p in PAIRS]
    expected += [naive(llama, p.prompt_ids, p.rejected_ids) for p in PAIRS]
    assert logps.tolist() == pytest.approx(expected, abs=1e-5)


def test_scaled_and_capped_logits_are_the_models_own() -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=70, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.05, pad_token_id=0,
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval()
    logps = logprobs.completion_logps(model, pad(PAIRS[:1], 0), fused=True)
    assert logps[0].item() == pytest.approx(naive(model, PAIRS[0].prompt_ids, PAIRS[0].chosen_ids), abs=1e-5)
