from __future__ import annotations

from typing import Any

import pytest
import torch

from ropo_bench.training import logprobs
from ropo_bench.training.batches import collate
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


def test_fused_log_probabilities_equal_naive_ones(llama: Any) -> None:
    logps = logprobs.completion_logps(llama, collate(PAIRS, 0))
    expected = [naive(llama, p.prompt_ids, p.chosen_ids) for p in PAIRS]
    expected += [naive(llama, p.prompt_ids, p.rejected_ids) for p in PAIRS]
    assert logps.tolist() == pytest.approx(expected, abs=1e-5)


def test_chunks_change_neither_values_nor_gradients(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient() -> tuple[torch.Tensor, torch.Tensor]:
        llama.zero_grad()
        value = logprobs.completion_logps(llama, collate(PAIRS, 0))
        value.sum().backward()
        return value.detach(), llama.get_input_embeddings().weight.grad.clone()

    whole, whole_gradient = gradient()
    monkeypatch.setattr(logprobs, "CHUNK_TOKENS", 3)
    chunked, chunked_gradient = gradient()
    assert torch.allclose(whole, chunked, atol=1e-6)
    assert torch.allclose(whole_gradient, chunked_gradient, atol=1e-6)


def test_scaled_and_capped_logits_are_the_models_own() -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=70, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.05, pad_token_id=0,
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval()
    logps = logprobs.completion_logps(model, collate(PAIRS[:1], 0))
    assert logps[0].item() == pytest.approx(naive(model, PAIRS[0].prompt_ids, PAIRS[0].chosen_ids), abs=1e-5)
