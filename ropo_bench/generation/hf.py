"""Generation with transformers: left-padded batches, our own decoding loop.

`model.generate` keeps every row until the last has finished and draws from one stream for the whole batch.
Here a finished row leaves its batch, and each row has random numbers of its own, so that when the others
finish changes nothing for it.
Shapes: N live rows, B rows of the batch, P prompt tokens, T prompt and new tokens, V words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ropo_bench.generation.base import Batch, Conversation, batch_seed, cut_batches, num_new_tokens, temperature_of
from ropo_bench.generation.cache_kinds import is_recurrent, num_attention_layers, text_config
from ropo_bench.generation.kv_cache import RoomyCache
from ropo_bench.generation.own_cache import Choose, decode_by_generate
from ropo_bench.generation.sampling import check_logits, choose
from ropo_bench.preferences.chat import encode_prompts, end_of_turn_id
from ropo_bench.recipes.task import Decoding
from ropo_bench.types import Completion, Prompt


class HFGenerator:
    """Completions of a transformers causal language model.

    Same model, prompts and decoding: same text, bit for bit, on one machine, wherever a run is resumed.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.room_tokens: int | None = getattr(text_config(model), "max_position_embeddings", None)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Where answers end; on first use, because log-likelihoods alone need no chat template."""
        return stop_ids(self.model.generation_config, self.tokenizer)

    def generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, done: Collection[tuple[str, int]] = ()
    ) -> Iterator[list[Completion]]:
        """Completions batch by batch (see generation.base) but those of (prompt id, sample) in `done`.

        Turn 2 answers in sight of the own turn 1. A batch is drawn as a whole, or not at all where all of it is
        done: what is done changes no other text. An answer ends where the model's context does.
        """
        for index, batch in enumerate(cut_batches(prompts, decoding)):
            if any((prompt.id, sample) not in done for prompt, sample in batch):
                completions = self._batch(batch, decoding, batch_seed(decoding.seed, index))
                yield [c for c in completions if (c.prompt_id, c.sample) not in done]

    def _batch(self, batch: Batch, decoding: Decoding, seed: int) -> list[Completion]:
        device = self.model.device
        random = torch.Generator(device).manual_seed(seed)
        conversations = [Conversation(prompt, sample, thoughts=decoding.thoughts) for prompt, sample in batch]
        while rows := [conversation for conversation in conversations if not conversation.finished]:
            prompt_ids = encode_prompts(self.tokenizer, [row.ask() for row in rows])
            limits = [num_new_tokens(len(ids), decoding.max_new_tokens, self.room_tokens) for ids in prompt_ids]
            open_rows = [(row, ids, limit) for row, ids, limit in zip(rows, prompt_ids, limits, strict=True) if limit]
            for row in (row for row, limit in zip(rows, limits, strict=True) if not limit):
                row.answer([], self.stop_ids, self.tokenizer)
            if not open_rows:
                continue
            answers = decode(
                self.model,
                *pad_left([ids for _, ids, _ in open_rows], device),
                decoding,
                stop_ids=self.stop_ids,
                random=random,
                temperatures=[temperature_of(row.prompt, decoding) for row, _, _ in open_rows],
                limits=[limit for _, _, limit in open_rows],
            )
            for (row, _, _), ids in zip(open_rows, answers, strict=True):
                row.answer(ids, self.stop_ids, self.tokenizer)
        return [conversation.completion() for conversation in conversations]


def stop_ids(generation_config: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: the template's end of turn and the end tokens of model and tokenizer."""
    ends = generation_config.eos_token_id
    given = [*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id]
    return frozenset([end_of_turn_id(tokenizer), *(id for id in given if id is not None)])


def pad_left(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids (B, P) with the text at the right edge, and the mask (B, P), 1 on text and 0 on padding."""
    width = max(map(len, rows))
    ids_BP = torch.zeros(len(rows), width, dtype=torch.long)
    mask_BP = torch.zeros(len(rows), width, dtype=torch.long)
    for row, ids in enumerate(rows):
        ids_BP[row, width - len(ids) :] = torch.tensor(ids)
        mask_BP[row, width - len(ids) :] = 1
    return ids_BP.to(device), mask_BP.to(device)


@torch.inference_mode()
def decode(
    model: Any,
    ids_BP: Tensor,
    mask_BP: Tensor,
    decoding: Decoding,
    *,
    stop_ids: frozenset[int],
    random: torch.Generator,
    temperatures: Sequence[float] = (),
    limits: Sequence[int] = (),
) -> list[list[int]]:
    """New token ids of each row, up to and with its stop token, or decoding.max_new_tokens of them.

    temperatures, limits: one a row, in place of decoding.temperature and decoding.max_new_tokens. Recurrent models
    never see padding: their rows are decoded with those of their length.
    """
    num_rows = len(ids_BP)
    temperatures = temperatures or [decoding.temperature] * num_rows
    limits = limits or [decoding.max_new_tokens] * num_rows
    num_layers = num_attention_layers(model)
    if num_layers is not None:
        cache = RoomyCache(num_layers, ids_BP.shape[1] + max(limits))
        return _decode_roomy(model, ids_BP, mask_BP, decoding.top_p, cache, stop_ids, random, temperatures, limits)
    answers: list[list[int]] = [[]] * num_rows
    for group in _rows_by_length(mask_BP) if is_recurrent(model) else [list(range(num_rows))]:
        width = int(mask_BP[group].sum(1).max())
        warmth = [temperatures[row] for row in group]
        pick = _picker(warmth, decoding.top_p, random)
        ids, mask = ids_BP[group, -width:], mask_BP[group, -width:]
        for row, answer in zip(
            group, decode_by_generate(model, ids, mask, pick, stop_ids, [limits[row] for row in group]), strict=True
        ):
            answers[row] = answer
    return answers


def _rows_by_length(mask_BP: Tensor) -> list[list[int]]:
    """Rows by their length: those of one length can be decoded together without padding."""
    groups: dict[int, list[int]] = {}
    for row, length in enumerate(mask_BP.sum(1).tolist()):
        groups.setdefault(length, []).append(row)
    return list(groups.values())


def _picker(temperatures: Sequence[float], top_p: float, random: torch.Generator) -> Choose:
    """Next tokens of a whole batch, from random numbers drawn for all of its rows at every step."""
    warm = len(set(temperatures)) > 1

    def pick(logits_BV: Tensor, step: int) -> Tensor:
        check_logits(logits_BV, step)
        uniform_B = torch.rand(len(logits_BV), generator=random, device=logits_BV.device)
        warmth = torch.tensor(temperatures, device=logits_BV.device) if warm else temperatures[0]
        return choose(logits_BV, warmth, top_p, uniform_B)

    return pick


def _decode_roomy(
    model: Any,
    ids_BP: Tensor,
    mask_BP: Tensor,
    top_p: float,
    cache: RoomyCache,
    stop_ids: frozenset[int],
    random: torch.Generator,
    temperatures: Sequence[float],
    limits: Sequence[int],
) -> list[list[int]]:
    """Decoding from keys and values in place; a finished row leaves the batch."""
    num_rows, num_prompt = ids_BP.shape
    num_new = max(limits)
    limit_B = torch.tensor(limits, device=ids_BP.device)
    mask_NT = torch.cat([mask_BP, mask_BP.new_ones(num_rows, num_new)], dim=1)
    positions_NT = (mask_NT.cumsum(1) - 1).clamp(min=0)
    stops = torch.tensor(sorted(stop_ids), dtype=torch.long, device=ids_BP.device)
    out_BT = ids_BP.new_zeros(num_rows, num_new)
    length_B = ids_BP.new_full((num_rows,), num_new)
    rows_N = torch.arange(num_rows, device=ids_BP.device)
    mixed = len(set(temperatures)) > 1
    temperature_B = torch.tensor(temperatures, device=ids_BP.device) if mixed else None
    input_Nt, start = ids_BP, 0
    for step in range(num_new):
        end = num_prompt + step
        logits_NV = model(
            input_ids=input_Nt,
            attention_mask=mask_NT[:, :end],
            position_ids=positions_NT[:, start:end],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        check_logits(logits_NV, step)
        # Drawn for all rows of the batch, finished or not: a row's randomness is its own.
        uniform_B = torch.rand(num_rows, generator=random, device=ids_BP.device)
        warmth = temperatures[0] if temperature_B is None else temperature_B[rows_N]
        token_N = choose(logits_NV, warmth, top_p, uniform_B[rows_N])
        out_BT[rows_N, step] = token_N
        live_N = torch.isin(token_N, stops, invert=True) & (limit_B[rows_N] > step + 1)
        if not live_N.all():
            length_B[rows_N[~live_N]] = step + 1
            if not live_N.any():
                break
            order_N = cache.keep(live_N)
            rows_N, token_N = rows_N[order_N], token_N[order_N]
            mask_NT, positions_NT = mask_NT[order_N], positions_NT[order_N]
        input_Nt, start = token_N[:, None], end
    return [ids[:length] for ids, length in zip(out_BT.tolist(), length_B.tolist(), strict=True)]
