"""Byte-level tokenizers with chat templates of the kinds in use, built on the spot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

CHATML = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    # A newline after the end of the turn; without a BOS of its own: Zephyr, whose tokenizer has one.
    "chatml": CHATML,
    "no-bos": CHATML.replace("{{ bos_token }}", ""),
    # Turns in brackets, nothing added before an answer, strict alternation: Mistral, Llama 2.
    "brackets": (
        "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
        "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %} {{ m['content'] }}<|im_end|>"
        "{% endif %}{% endfor %}"
    ),
    # Broken in one way each.
    "two-bos": "{{ bos_token }}" + CHATML,
    "plain-end": (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    ),
    "rewrites": (
        "{% for m in messages %}{% if m['role'] == 'user' and not loop.last %}(old) {% endif %}"
        "{{ m['content'] }}<|im_end|>{% endfor %}"
    ),
}


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., Any]:
    """make_tokenizer(template, adds_bos=True): template is a key of TEMPLATES, or None for no template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|bos|>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    # Runs of newlines become one token, as in real vocabularies: that is what makes seams hard.
    text = ["the quick brown fox jumps over the lazy dog and the cat\n\n\n", "answer\n\nanswer\n\n"] * 20
    backend.train_from_iterator(text, trainer)
    plain = backend.to_str()

    def make(template: str | None, adds_bos: bool = True) -> Any:
        fresh = Tokenizer.from_str(plain)
        if adds_bos:
            fresh.post_processor = processors.TemplateProcessing(
                single="<|bos|> $A", special_tokens=[("<|bos|>", fresh.token_to_id("<|bos|>"))]
            )
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=fresh,
            bos_token="<|bos|>",
            eos_token=AddedToken("<|im_end|>", special=True),
            pad_token="<|im_end|>",
        )
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
        tokenizer.chat_template = None if template is None else TEMPLATES[template]
        tokenizer.name_or_path = f"tiny-{template}"
        return tokenizer

    return make
