"""The one place where chats become token ids: training and generation both go through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ropo_bench.errors import UsageError, first_line
from ropo_bench.preferences.template_limit import bounded_rendering
from ropo_bench.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "zebra answers"
# What a template may write: its own words, and each content a few times.
MAX_TEMPLATE_CHARACTERS = 1 << 20
MAX_GROWTH = 10


# Templates such as Llama 3.2's write today's date unless they are given one: the same chat shall always be the same
# tokens, on every day of a run.
DATE = "26 Jul 2024"


def encode_prompts(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Sequence[Message]]) -> list[list[int]]:
    """Token ids of chats up to the assistant's next answer, with one BOS in front if the model uses one."""
    return encode(tokenizer, [render(tokenizer, chat, f"chat {i}") for i, chat in enumerate(chats)])


def render(tokenizer: PreTrainedTokenizerBase, chat: Sequence[Message], name: str, answer: str | None = None) -> str:
    """The chat as the template writes it: up to the assistant's answer, or with it."""
    if not tokenizer.chat_template:
        raise UsageError(
            f"tokenizer {tokenizer.name_or_path!r}: has no chat template; put a chat_template.jinja beside"
            " its tokenizer.json, or start from a chat model"
        )
    messages = list(chat) if answer is None else [*chat, Message(role="assistant", content=answer)]
    try:
        with bounded_rendering():
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer is None, date_string=DATE
            )
    except Exception as error:  # a template is a program: it can fail in any way
        raise UsageError(
            f"{name}: the chat template of {tokenizer.name_or_path!r} refuses its messages ({first_line(error)});"
            " remove the pair or use another template"
        ) from error
    limit = MAX_GROWTH * sum(len(message["content"]) for message in messages) + MAX_TEMPLATE_CHARACTERS
    if len(text) > limit:
        raise UsageError(
            f"{name}: the chat template of {tokenizer.name_or_path!r} writes {len(text):,} characters, more than"
            f" {limit:,}; mend or replace its chat_template.jinja"
        )
    assert isinstance(text, str)
    return text


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Token ids of rendered chats.

    Special tokens are the template's business. Only a BOS that the tokenizer would write by itself and the
    template does not (Zephyr's) is put in front: the model was pretrained with one.
    """
    if not texts:
        return []
    bos = bos_prefix(tokenizer)
    rows: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return [ids if ids[:1] == bos else bos + ids for ids in rows] if bos else rows


def bos_prefix(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """[BOS] where the tokenizer writes one by itself, else []."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("")["input_ids"][:1] == [bos] else []


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The special token with which the template ends an assistant's answer: where generation has to stop.

    UsageError where the template ends answers in plain text: a model could not learn to stop.
    """
    chat = [Message(role="user", content="a")]
    whole = render(tokenizer, chat, "probe chat", answer=_PROBE)
    special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    special.update(tokenizer.all_special_ids)
    ids: list[int] = tokenizer(whole[whole.rindex(_PROBE) + len(_PROBE) :], add_special_tokens=False)["input_ids"]
    ends = [id for id in ids if id in special]
    if not ends:
        raise UsageError(
            f"tokenizer {tokenizer.name_or_path!r}: its chat template ends an answer without a special token,"
            " so generation would not stop; write eos_token after the assistant's message"
        )
    return ends[0]
