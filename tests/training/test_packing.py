"""Packed = padded and shared = separate: log-probabilities and gradients, on every architecture that is packed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from ropo_bench.recipes.method import CoreRecipe
from ropo_bench.training.core.attention import ATTENTION, attend
from ropo_bench.training.core.logprobs import collate, completion_logps, token_logps
from ropo_bench.training.core.packing import Batch, Segment, pack, pad, row_tokens
from ropo_bench.types import TokenizedPair

VOCABULARY = 97
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZES),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "mistral-window": MistralConfig(**SIZES, sliding_window=7),
    "qwen2": Qwen2Config(**SIZES),
    "qwen2-window": Qwen2Config(
        **SIZES, use_sliding_window=True, sliding_window=5, layer_types=["sliding_attention", "full_attention"]
    ),
    "qwen3": Qwen3Config(**SIZES, head_dim=32),
}
SHARED, SEPARATE, PADDED = CoreRecipe(), CoreRecipe(prefix_sharing=False), CoreRecipe(packing=False)


def pair(name: str, prompt: int, chosen: int, rejected: int, seed: int = 0) -> TokenizedPair:
    generator = torch.Generator().manual_seed(seed + 1000 * prompt + 100 * chosen + rejected)
    ids = torch.randint(1, VOCABULARY, (prompt + chosen + rejected,), generator=generator).tolist()
    return TokenizedPair(
        name, tuple(ids[:prompt]), tuple(ids[prompt : prompt + chosen]), tuple(ids[prompt + chosen :])
    )


PAIRS = [pair("a", 9, 5, 3), pair("b", 1, 1, 8), pair("c", 17, 2, 12), pair("d", 4, 1, 1)]


def model_of(config: PreTrainedConfig, dtype: torch.dtype = torch.float64) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=dtype)


def loss_and_gradients(model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    logps_N = completion_logps(model, batch, fused=False)
    weights = torch.linspace(-1, 2, len(logps_N), dtype=logps_N.dtype)
    (logps_N * weights).sum().backward()
    return logps_N.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("core", [SHARED, SEPARATE], ids=["shared", "separate"])
def test_a_packed_row_gives_what_padded_rows_give(name: str, core: CoreRecipe) -> None:
    model = model_of(CONFIGS[name])
    expected, expected_gradients = loss_and_gradients(model, pad(PAIRS, 0))
    batch = collate(model, PAIRS, core, 0)
    assert batch.attention_RT is None
    found, gradients = loss_and_gradients(model, batch)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)  # the head's sums are fp32
    assert gradients.keys() == expected_gradients.keys()
    for parameter, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[parameter], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["llama", "mistral-window", "qwen3"])
def test_every_pair_alone_gives_what_it_gives_in_a_row(name: str) -> None:
    model = model_of(CONFIGS[name])
    together = completion_logps(model, pack(PAIRS, share=True), fused=False)
    alone = [completion_logps(model, pad([one], 0), fused=False) for one in PAIRS]
    torch.testing.assert_close(together, torch.stack(alone).T.flatten(), rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5))
def test_any_lengths(lengths: list[tuple[int, int, int]]) -> None:
    pairs = [pair(str(i), *sizes, seed=i) for i, sizes in enumerate(lengths)]
    model = model_of(CONFIGS["llama"])
    expected = completion_logps(model, pad(pairs, 0), fused=False)
    for share in (True, False):
        batch = pack(pairs, share)
        assert batch.input_RT.shape[1] == sum(row_tokens(p, share) for p in pairs)
        torch.testing.assert_close(completion_logps(model, batch, fused=False), expected, rtol=1e-6, atol=1e-6)


def test_a_prompt_is_in_the_row_once_and_positions_go_on_where_it_ended() -> None:
    batch = pack([TokenizedPair("x", (1, 2), (3, 4), (5, 10)), TokenizedPair("y", (6,), (7,), (8, 9))], share=True)
    assert batch.input_RT.tolist() == [[1, 2, 3, 5, 6, 8]]  # the last token of a completion predicts nothing
    assert batch.position_RT.tolist() == [[0, 1, 2, 2, 0, 1]]
    assert batch.segments == (Segment(2, (1, 1)), Segment(1, (0, 1)))
    scored = zip(batch.source_C.tolist(), batch.target_C.tolist(), batch.sequence_C.tolist(), strict=True)
    assert sorted(scored) == [(1, 3, 0), (1, 5, 2), (2, 4, 0), (3, 10, 2), (4, 7, 1), (4, 8, 3), (5, 9, 3)]
    assert batch.num_tokens == 2 * 2 + 4 + 2 * 1 + 3


def test_nothing_leaks_between_pairs_or_between_completions() -> None:
    model = model_of(CONFIGS["llama"])
    before = token_logps(model, pack(PAIRS, share=True), fused=False)
    changed = TokenizedPair("b", PAIRS[1].prompt_ids, (5,), PAIRS[1].rejected_ids)
    batch = pack([PAIRS[0], changed, *PAIRS[2:]], share=True)
    after = token_logps(model, batch, fused=False)
    assert torch.equal(before != after, batch.sequence_C == 1)


def test_flex_attention_gives_the_same() -> None:
    from ropo_bench.training.core.attention import _flex

    torch.manual_seed(0)
    segments = (Segment(9, (5, 3)), Segment(6), Segment(1, (1, 8)), Segment(4, (2, 3, 1, 2)))
    total = sum(s.length for s in segments)
    query, key, value = torch.randn(1, 4, total, 16), torch.randn(1, 2, total, 16), torch.randn(1, 2, total, 16)
    for window in (None, 4):
        expected, _ = attend(
            torch.nn.Module(), query, key, value, None, scaling=0.3, sliding_window=window, segments=segments
        )
        found = _flex(query, key, value, 0.3, window, segments).transpose(1, 2)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_model_that_has_been_trained_packed_still_does_everything_else(tmp_path: Path) -> None:
    model = model_of(CONFIGS["llama"], torch.float32).eval()
    input_ids = torch.tensor([[5, 6, 7, 8]])
    attention_mask = torch.tensor([[0, 1, 1, 1]])
    with torch.no_grad():
        logits = model(input_ids, attention_mask=attention_mask).logits[0, 1:]
        answer = model.generate(input_ids, max_new_tokens=5, do_sample=False)
        completion_logps(model, pack(PAIRS, share=True), fused=False)
        assert model.config._attn_implementation == ATTENTION
        assert torch.equal(model(input_ids, attention_mask=attention_mask).logits[0, 1:], logits)
        assert torch.equal(model.generate(input_ids, max_new_tokens=5, do_sample=False), answer)
    model.save_pretrained(tmp_path)
    assert ATTENTION not in (tmp_path / "config.json").read_text()


def test_gradient_checkpointing_and_autocast_go_through() -> None:
    model = model_of(CONFIGS["llama"], torch.float32)
    plain, _ = loss_and_gradients(model, pack(PAIRS, share=True))
    model.train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    found, gradients = loss_and_gradients(model, pack(PAIRS, share=True))
    torch.testing.assert_close(found, plain)
    assert len(gradients) == len(list(model.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = loss_and_gradients(model, pack(PAIRS, share=True))
    torch.testing.assert_close(rounded, plain, rtol=0.02, atol=0.05)


def test_dropout_of_attention_weights_is_the_same_function_of_the_seed() -> None:
    model = model_of(LlamaConfig(**SIZES, attention_dropout=0.5), torch.float32).train()
    batch = pack(PAIRS, share=True)

    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return completion_logps(model, batch, fused=False).detach()

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.allclose(drawn(1), drawn(2))
    assert not torch.allclose(drawn(1), completion_logps(model.eval(), batch, fused=False))


def test_another_architecture_is_padded() -> None:
    from transformers import GPT2Config

    model = AutoModelForCausalLM.from_config(GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=1, n_head=2))
    batch = collate(model, PAIRS, SHARED, 0)
    assert batch.attention_RT is not None
    assert not batch.segments
    assert completion_logps(model, batch, fused=False).shape == (8,)


@pytest.mark.skipif("ROPO_BENCH_ASSETS" not in os.environ, reason="ROPO_BENCH_ASSETS is not set")
def test_real_pairs_to_fp32_rounding() -> None:
    from ropo_bench.models.load import load_tokenizer
    from ropo_bench.preferences import read_pairs, tokenize_pairs
    from ropo_bench.sources.models import model_folder

    data = Path(os.environ["ROPO_BENCH_ASSETS"]) / "preference" / "hh_rlhf_harmless_base_test.part1.jsonl.gz"
    tokenizer = load_tokenizer(model_folder("pocket:sft"))
    real = tokenize_pairs(read_pairs(str(data)).pairs[:12], tokenizer, 1024, 512).pairs
    config = LlamaConfig(**{**SIZES, "vocab_size": len(tokenizer)})
    model = model_of(config, torch.float32)
    expected, expected_gradients = loss_and_gradients(model, pad(real, tokenizer.pad_token_id))
    for share in (True, False):
        found, gradients = loss_and_gradients(model, pack(real, share))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
        for name, gradient in gradients.items():
            error = (gradient - expected_gradients[name]).norm() / expected_gradients[name].norm()
            assert error < 1e-5, (name, error)


def test_padding_puts_chosen_rows_first_and_marks_completions() -> None:
    batch = pad([TokenizedPair("a", (1, 2), (3,), (4, 5)), TokenizedPair("b", (6,), (7, 8), (9,))], 0)
    assert batch.input_RT.tolist() == [[1, 2, 3, 0], [6, 7, 8, 0], [1, 2, 4, 5], [6, 9, 0, 0]]
    assert batch.attention_RT is not None
    assert batch.attention_RT.sum(1).tolist() == [3, 3, 4, 2]
    scored = zip(batch.source_C.tolist(), batch.target_C.tolist(), batch.sequence_C.tolist(), strict=True)
    assert list(scored) == [(1, 3, 0), (4, 7, 1), (5, 8, 1), (9, 4, 2), (10, 5, 2), (12, 9, 3)]
    assert batch.num_tokens == 3 + 3 + 4 + 2
