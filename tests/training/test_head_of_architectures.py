"""What an architecture does to its head's output is in the log-probabilities, fused or not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from ropo_bench.training.core.head import head_logps
from ropo_bench.training.core.logit_change import LogitChange, logit_change


def small(name: str, **options: Any) -> Any:
    """A tiny random model of another architecture."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(
        vocab_size=70, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, **options,
    )  # fmt: skip
    return getattr(transformers, f"{name}ForCausalLM")(config).eval()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Gemma2", {"final_logit_softcapping": 0.05}),
        ("Cohere", {"logit_scale": 3.0}),
        ("Granite", {"logits_scaling": 0.2}),
        ("HyperCLOVAX", {"logits_scaling": 5.0}),
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_logits_are_the_architectures_own(name: str, options: dict[str, float], fused: bool) -> None:
    model = small(name, **options)
    ids = torch.randint(3, 70, (1, 30))
    hidden = model.base_model(ids).last_hidden_state[0, :-1]
    found = head_logps(hidden, model.get_output_embeddings(), ids[0, 1:], logit_change(model), fused)
    expected = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None]).squeeze(1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    unchanged = head_logps(hidden, model.get_output_embeddings(), ids[0, 1:], LogitChange(), fused)
    assert (unchanged - expected).abs().max() > 1e-3
