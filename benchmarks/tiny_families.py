"""Tiny random models of the causal families of transformers: the real code of each, in a shape built at once.

A byte tokenizer with a chat template goes with them. Weights are scaled up, so that logits are far from flat and a
wrong cache, a lost cap or a padded state shows in the first tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

MARKS = ("<|pad|>", "<|bos|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>")
VOCABULARY = 264  # 262 are used; some tokenizer classes add one of their own
IDS = {"bos_token_id": 1, "eos_token_id": 5, "pad_token_id": 0}
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,  # tied and random, a model only repeats its last token
    **IDS,
}
EXPERTS = {"moe_intermediate_size": 24, "num_experts": 4, "num_experts_per_tok": 2}
WINDOW = {"sliding_window": 8}
"""Shorter than the test prompts: a window that a cache forgets shows."""
MIXED = ["sliding_attention", "full_attention"]
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
LATENT = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
}
"""Multi-head latent attention: values narrower than keys."""
EYES = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


def _gemma3_with_eyes() -> Any:
    text = transformers.Gemma3TextConfig(**SIZES, head_dim=12, sliding_window=8)
    return transformers.Gemma3Config(
        text_config=text.to_dict(), vision_config=EYES, mm_tokens_per_image=4, tie_word_embeddings=False, **IDS
    )


def _gemma4_with_eyes() -> Any:
    text = transformers.Gemma4TextConfig(
        **SIZES,
        head_dim=12,
        global_head_dim=12,
        vocab_size_per_layer_input=VOCABULARY,
        hidden_size_per_layer_input=8,
        num_kv_shared_layers=0,
        layer_types=MIXED,
        final_logit_softcapping=5.0,
        sliding_window=8,
    )
    return transformers.Gemma4Config(
        text_config=text.to_dict(), vision_config=None, audio_config=None, tie_word_embeddings=False, **IDS
    )


FAMILIES: dict[str, Callable[[], Any]] = {
    "Llama": lambda: transformers.LlamaConfig(**SIZES),
    "Mistral": lambda: transformers.MistralConfig(**SIZES, **WINDOW),
    "Qwen2": lambda: transformers.Qwen2Config(**SIZES),
    "Qwen3": lambda: transformers.Qwen3Config(**SIZES, head_dim=12),
    "Qwen3-MoE": lambda: transformers.Qwen3MoeConfig(**SIZES, head_dim=12, **EXPERTS),
    "Qwen3.5": lambda: transformers.Qwen3_5TextConfig(**SIZES, head_dim=12, **LINEAR),
    "Gemma 2": lambda: transformers.Gemma2Config(**SIZES, head_dim=12, **WINDOW, final_logit_softcapping=5.0),
    "Gemma 3": _gemma3_with_eyes,
    "Gemma 4": _gemma4_with_eyes,
    "Phi": lambda: transformers.PhiConfig(**SIZES),
    "GPT-2": lambda: transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=48, n_layer=2, n_head=4, n_positions=256, **IDS
    ),
    "GPT-NeoX": lambda: transformers.GPTNeoXConfig(**{k: v for k, v in SIZES.items() if k != "num_key_value_heads"}),
    "Granite": lambda: transformers.GraniteConfig(
        **SIZES, logits_scaling=4.0, residual_multiplier=0.7, embedding_multiplier=2.0
    ),
    "Cohere": lambda: transformers.CohereConfig(**SIZES, logit_scale=0.25),
    "OLMo 2": lambda: transformers.Olmo2Config(**SIZES),
    "OLMo 3": lambda: transformers.Olmo3Config(**SIZES, **WINDOW, layer_types=MIXED),
    "OLMoE": lambda: transformers.OlmoeConfig(**SIZES, num_experts=4, num_experts_per_tok=2),
    "SmolLM3": lambda: transformers.SmolLM3Config(**SIZES, no_rope_layers=[1, 0]),
    "Mixtral": lambda: transformers.MixtralConfig(**SIZES, num_local_experts=4, router_jitter_noise=0.1),
    "Mamba": lambda: transformers.MambaConfig(vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=2, **IDS),
    "Mamba 2": lambda: transformers.Mamba2Config(
        vocab_size=VOCABULARY,
        hidden_size=48,
        num_hidden_layers=2,
        num_heads=6,
        head_dim=16,
        state_size=8,
        n_groups=1,
        chunk_size=16,
        **IDS,
    ),
    "Falcon-H1": lambda: transformers.FalconH1Config(
        **SIZES,
        mamba_d_ssm=48,
        mamba_n_heads=4,
        mamba_d_head=12,
        mamba_d_state=8,
        mamba_n_groups=1,
        mamba_chunk_size=16,
        lm_head_multiplier=0.5,
    ),
    "LFM2": lambda: transformers.Lfm2Config(
        **SIZES, layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False
    ),
    "Jamba": lambda: transformers.JambaConfig(
        **SIZES,
        num_experts=2,
        num_experts_per_tok=1,
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=2,
        expert_layer_offset=1,
        mamba_d_state=8,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
    ),
    "RecurrentGemma": lambda: transformers.RecurrentGemmaConfig(
        **{**SIZES, "num_hidden_layers": 3}, lru_width=48, logits_soft_cap=5.0, attention_window_size=64
    ),
    "StarCoder2": lambda: transformers.Starcoder2Config(**SIZES),
    "BLOOM": lambda: transformers.BloomConfig(vocab_size=VOCABULARY, hidden_size=48, n_layer=2, n_head=4, **IDS),
    "DeepSeek-V3": lambda: transformers.DeepseekV3Config(
        **SIZES | {"num_key_value_heads": 4},
        **LATENT,
        moe_intermediate_size=24,
        n_routed_experts=4,
        n_group=1,
        topk_group=1,
        num_experts_per_tok=2,
        first_k_dense_replace=1,
    ),
    "Gemma 3n": lambda: transformers.Gemma3nTextConfig(
        **SIZES | {"num_hidden_layers": 4},
        head_dim=12,
        vocab_size_per_layer_input=VOCABULARY,
        hidden_size_per_layer_input=8,
        num_kv_shared_layers=2,
        layer_types=MIXED * 2,
        activation_sparsity_pattern=[0.0] * 4,
        laurel_rank=4,
        **WINDOW,
    ),
    "GPT-OSS": lambda: transformers.GptOssConfig(
        **SIZES, **WINDOW, head_dim=12, num_local_experts=4, num_experts_per_tok=2, layer_types=MIXED
    ),
    "Granite 4": lambda: transformers.GraniteMoeHybridConfig(
        **SIZES,
        num_local_experts=4,
        num_experts_per_tok=2,
        shared_intermediate_size=32,
        logits_scaling=4.0,
        layer_types=["mamba", "attention"],
        mamba_n_heads=4,
        mamba_d_head=24,
        mamba_n_groups=1,
        mamba_d_state=8,
        mamba_chunk_size=16,
    ),
    "Llama 4": lambda: transformers.Llama4TextConfig(
        **SIZES,
        head_dim=12,
        intermediate_size_mlp=80,
        num_local_experts=2,
        num_experts_per_tok=1,
        attention_chunk_size=8,
        layer_types=["chunked_attention", "full_attention"],
    ),
    "OPT": lambda: transformers.OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=48,
        ffn_dim=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        word_embed_proj_dim=32,
        do_layer_norm_before=False,
        max_position_embeddings=256,
        **IDS,
    ),
    "Qwen3-Next": lambda: transformers.Qwen3NextConfig(
        **SIZES, **LINEAR, **EXPERTS, head_dim=12, shared_expert_intermediate_size=24
    ),
    "RWKV": lambda: transformers.RwkvConfig(
        vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=2, context_length=256, **IDS
    ),
    "Zamba2": lambda: transformers.Zamba2Config(
        **{key: value for key, value in SIZES.items() if key != "num_key_value_heads"} | {"num_hidden_layers": 3},
        mamba_d_state=8,
        mamba_headdim=12,
        n_mamba_heads=8,
        mamba_ngroups=1,
        chunk_size=16,
        num_mem_blocks=1,
        layers_block_type=["mamba", "hybrid", "mamba"],
        adapter_rank=4,
        use_mem_rope=True,
    ),
}


def tiny_tokenizer() -> Any:
    """A byte tokenizer whose chat template ends turns with a special token."""
    words = [*MARKS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(word, special=True) for word in MARKS])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    return tokenizer


def tiny_model(family: str, scale: float = 8.0, seed: int = 0) -> Any:
    """A random model of a family, in evaluation mode; matrices times `scale`."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(FAMILIES[family]()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
    return model


def write_family(family: str, folder: Path) -> None:
    """A base folder of a family: weights, config, tokenizer."""
    tiny_model(family).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
