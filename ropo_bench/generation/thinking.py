"""Where an answer starts behind the thoughts of a reasoning model, in token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ropo_bench.preferences.chat import render
from ropo_bench.types import Message
from ropo_bench.types.thoughts import CLOSE, OPEN


def answer_start(ids: Sequence[int], tokenizer: Any, *, opened: bool) -> int:
    """How many token ids stand before the answer: up to the last </think>, all where thoughts were cut, else none.

    opened: whether the prompt had already opened the thoughts, and the text came to no end. The marks are tokens of
    their own in most tokenizers, some of which leave them out of a decoded text; in others they are spelt out.
    """
    close = _token(tokenizer, CLOSE)
    ends = [place for place, token in enumerate(ids) if token == close] if close is not None else []
    start = ends[-1] + 1 if ends else _spelt_end(ids, tokenizer)
    rest = tokenizer.decode(ids[start:], skip_special_tokens=False)
    if rest.lstrip().startswith(OPEN) or (opened and not start):
        return len(ids)
    return start


def opens_thoughts(tokenizer: Any, chat: Sequence[Message]) -> bool:
    """Whether the template ends the prompt of this chat's next answer within thoughts."""
    if OPEN not in str(getattr(tokenizer, "chat_template", "")):
        return False
    return render(tokenizer, chat, "the prompt").rstrip().endswith(OPEN)


def _token(tokenizer: Any, mark: str) -> int | None:
    """The id of a mark that is a token of its own."""
    token_id = tokenizer.convert_tokens_to_ids(mark)
    return token_id if isinstance(token_id, int) and tokenizer.convert_ids_to_tokens(token_id) == mark else None


def _spelt_end(ids: Sequence[int], tokenizer: Any) -> int:
    """The first count of ids whose text holds every </think> that the whole text holds; 0 where it holds none."""
    total = tokenizer.decode(ids, skip_special_tokens=True).count(CLOSE)
    if not total:
        return 0
    low, high = 1, len(ids)
    while low < high:
        middle = (low + high) // 2
        if tokenizer.decode(ids[:middle], skip_special_tokens=True).count(CLOSE) >= total:
            high = middle
        else:
            low = middle + 1
    return low
