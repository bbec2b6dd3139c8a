"""Where a prompt ends and an answer begins: with any tokenizer, their tokens join to the text of the template."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ropo_bench.preferences import encode_prompts, template_preflight, tokenize_pairs
from ropo_bench.types import Message, Pair

BYTES = [f"<0x{i:02X}>" for i in range(256)]
KINDS = ("normalizer", "always", "first", "never")
# Generation prompts that end in a blank, in a word, in a colon with a blank, and in a newline.
PROMPT_ENDS = ("[/INST] ", "[/INST]", "Answer: ", "Answer:\n")


def tokenizer_of(kind: str, end: str = "[/INST] ") -> Any:
    """Word pieces that carry their leading blank, with or without a dummy blank in front of every text."""
    inner = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    words = ["Pick the best word. Answer yes no [INST] [/INST] =0"] * 50
    special = ["<unk>", "<s>", "</s>", *BYTES]
    inner.train_from_iterator(words, trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False))
    if kind == "normalizer":
        inner.pre_tokenizer = None
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind, split=False)
    inner.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }}"
        + end
        + "{% else %}"
        "{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    return tokenizer


TOKENIZERS = {(kind, end): tokenizer_of(kind, end) for kind in KINDS for end in PROMPT_ENDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", PROMPT_ENDS)
@settings(max_examples=15, deadline=None)
@given(answer=st.text("yes no\n=0é", min_size=1, max_size=8))
def test_prompt_and_answer_join_to_the_chat(kind: str, end: str, answer: str) -> None:
    tokenizer = TOKENIZERS[kind, end]
    pair = Pair("1", (Message(role="user", content="Pick the best word."),), answer, "no")
    template_preflight(tokenizer, [pair])
    (tokens,) = tokenize_pairs([pair], tokenizer, 200, 100).pairs
    chat = [*pair.prompt, Message(role="assistant", content=answer)]
    whole = tokenizer.apply_chat_template(chat, tokenize=False).removeprefix("<s>")
    joined = tokenizer.decode(tokens.prompt_ids + tokens.chosen_ids, skip_special_tokens=False)
    assert joined.removeprefix("<s>").lstrip(" ") == whole.lstrip(" ")
    assert [list(tokens.prompt_ids)] == encode_prompts(tokenizer, [pair.prompt])
