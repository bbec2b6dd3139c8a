"""Pairs as token ids, and the check that training and generation see the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropo_bench.errors import UsageError
from ropo_bench.preferences.chat import bos_prefix, encode, end_of_turn_id, render
from ropo_bench.types import Pair, TokenizedPair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PREFLIGHT_PAIRS = 64
_BEFORE_SEAM = ("", "\n", "=", "0")  # the empty one first: alone, where that is right

Encoded = tuple[str, list[int]]  # a rendered chat and its token ids


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Token ids of all pairs, in their order, and how many prompts and completions the length limits cut."""

    pairs: list[TokenizedPair]
    num_truncated_prompts: int
    num_truncated_completions: int


def tokenize_pairs(
    pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase, max_length: int, max_prompt_length: int
) -> Tokenized:
    """Token ids of the template's text up to the answer, and of each answer with its end-of-turn token.

    Lengths in tokens. A prompt over max_prompt_length keeps its end, and its BOS in front; a completion is
    cut where prompt and completion reach max_length. UsageError: no template, or one that refuses a pair,
    rewrites the prompt once it is answered, or ends answers without a special token.
    """
    assert 0 < max_prompt_length < max_length, "a prompt must leave room for a completion"
    prompts, chosen, rejected = _encode(pairs, tokenizer)
    tokenized: list[TokenizedPair] = []
    cut_prompts = cut_completions = 0
    for pair, prompt, completions in zip(pairs, prompts, zip(chosen, rejected, strict=True), strict=True):
        if len(prompt) > max_prompt_length:
            bos = prompt[:1] if prompt[0] == tokenizer.bos_token_id else []
            prompt = bos + prompt[len(prompt) - max_prompt_length + len(bos) :]  # noqa: PLW2901
            cut_prompts += 1
        room = max_length - len(prompt)
        cut_completions += sum(len(ids) > room for ids in completions)
        first, second = (tuple(ids[:room]) for ids in completions)
        tokenized.append(TokenizedPair(pair.id, tuple(prompt), first, second))
    return Tokenized(tokenized, cut_prompts, cut_completions)


def _encode(
    pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Prompts, chosen and rejected completions, uncut."""
    end = end_of_turn_id(tokenizer) if pairs else -1
    texts = [render(tokenizer, pair.prompt, f"pair {pair.id}") for pair in pairs]
    prompts = encode(tokenizer, texts)
    completions: list[list[list[int]]] = []
    for answers in ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs]):
        wholes = [
            render(tokenizer, pair.prompt, f"pair {pair.id}", answer)
            for pair, answer in zip(pairs, answers, strict=True)
        ]
        befores = zip(texts, prompts, strict=True)
        afters = zip(wholes, encode(tokenizer, wholes), strict=True)
        rows = zip(pairs, befores, afters, strict=True)
        completions.append([_completion(tokenizer, end, *row) for row in rows])
    return prompts, completions[0], completions[1]


def _completion(
    tokenizer: PreTrainedTokenizerBase, end: int, pair: Pair, prompt: Encoded, whole: Encoded
) -> list[int]:
    (prompt_text, prompt_ids), (whole_text, whole_ids) = prompt, whole
    if not whole_text.startswith(prompt_text):
        raise UsageError(
            f"pair {pair.id}: the chat template of {tokenizer.name_or_path!r} rewrites the prompt once it is"
            " answered, so training would not see what generation sees; use a template that only appends"
        )
    if whole_ids[: len(prompt_ids)] == prompt_ids:
        ids = whole_ids[len(prompt_ids) :]
    else:
        ids = _after_seam(tokenizer, prompt_ids, whole_ids, whole_text[len(prompt_text) :], pair.id)
    # What the template writes after the end of the turn (ChatML's newline) is never generated.
    last = len(ids) - 1 - ids[::-1].index(end) if end in ids else len(ids) - 1
    return ids[: last + 1]


def _after_seam(
    tokenizer: PreTrainedTokenizerBase, prompt_ids: list[int], whole_ids: list[int], rest: str, id: str
) -> list[int]:
    """Token ids of the text after the prompt where a token of the whole chat runs over the seam.

    Generation starts after prompt_ids (a template's newline and the answer's are one token, a blank at the end of the
    prompt belongs to the answer's first word), so the completion is what a model can write from there: with the
    prompt's ids it decodes to the chat. Tokenizers that put a blank in front of every text must not see the rest as
    a text of its own; it is then read behind a character that no token joins with what follows. UsageError where
    nothing gives the chat.
    """
    chat = tokenizer.decode(whole_ids, skip_special_tokens=False)
    for before in _BEFORE_SEAM:
        before_ids: list[int] = tokenizer(before, add_special_tokens=False)["input_ids"] if before else []
        ids: list[int] = tokenizer(before + rest, add_special_tokens=False)["input_ids"]
        start, after = ids[: len(before_ids)], ids[len(before_ids) :]
        if start == before_ids and tokenizer.decode(prompt_ids + after, skip_special_tokens=False) == chat:
            return after
    raise UsageError(
        f"pair {id}: with the tokenizer {tokenizer.name_or_path!r}, the tokens of the prompt and of its answer do not"
        f" join to the text of the chat template (the answer's start: {rest[:20]!r}); end the template's generation"
        " prompt in a special token or a newline"
    )


def template_preflight(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]) -> None:
    """Refuse a tokenizer whose training and generation token ids differ, before anything expensive starts.

    On the first 64 pairs: our prompt ids are those of `apply_chat_template`, which servers generate from, but
    for a BOS that the template forgets; exactly one BOS leads; both completions end in the end-of-turn token,
    where generation stops. UsageError names the pair.
    """
    pairs = pairs[:_PREFLIGHT_PAIRS]
    name, bos, end = tokenizer.name_or_path, tokenizer.bos_token_id, end_of_turn_id(tokenizer)
    for pair, prompt, *completions in zip(pairs, *_encode(pairs, tokenizer), strict=True):
        served = tokenizer.apply_chat_template(list(pair.prompt), add_generation_prompt=True, return_dict=False)
        if served not in (prompt, prompt[len(bos_prefix(tokenizer)) :]):
            raise UsageError(
                f"pair {pair.id}: tokenizer {name!r} gives generation other prompt ids than training"
                f" ({len(served)} and {len(prompt)} tokens); use a template that writes a chat always alike"
            )
        if bos is not None and prompt[:2] == [bos, bos]:
            raise UsageError(
                f"pair {pair.id}: tokenizer {name!r} starts prompts with two BOS tokens; its chat template"
                " must write one at most"
            )
        if any(ids[-1:] != [end] for ids in completions):
            raise UsageError(
                f"pair {pair.id}: the chat template of {name!r} does not end this answer in"
                f" {tokenizer.convert_ids_to_tokens(end)!r}, where generation stops; it must end all alike"
            )
