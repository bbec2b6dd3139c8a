"""Generation with transformers: left-padded batches, our own decoding loop.

`model.generate` keeps every row until the last has finished and draws from one stream for the whole batch.
Here a finished row leaves its batch, and each row has random numbers of its own, so that when the others
finish changes nothing for it.
Shapes: N live rows, B rows of the batch, P prompt tokens, T prompt and new tokens, V words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ropo_bench.errors import UsageError
from ropo_bench.generation.base import Batch, batch_seed, cut_batches
from ropo_bench.generation.kv_cache import RoomyCache
from ropo_bench.preferences.chat import encode_prompts, end_of_turn_id
from ropo_bench.tasks import Decoding
from ropo_bench.types import Completion, Message, Prompt


class HFGenerator:
    """Completions of a transformers causal language model with plain attention layers.

    Same model, prompts and decoding: same text, bit for bit, on one machine, wherever a run is resumed.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.stop_ids = stop_ids(model, tokenizer)

    def generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, skip_batches: int = 0
    ) -> Iterator[list[Completion]]:
        """Completions batch by batch (see generation.base); turn 2 answers in sight of the own turn 1.

        Raises UsageError where a chat and its answer do not fit into the model's context.
        """
        for index, batch in enumerate(cut_batches(prompts, decoding)):
            if index >= skip_batches:
                yield self._batch(batch, decoding, batch_seed(decoding.seed, index))

    def _batch(self, batch: Batch, decoding: Decoding, seed: int) -> list[Completion]:
        device = self.model.device
        random = torch.Generator(device).manual_seed(seed)
        chats: list[list[Message]] = [[] for _ in batch]
        num_tokens: list[list[int]] = [[] for _ in batch]
        cut = [False] * len(batch)
        for turn in range(max(len(prompt.turns) for prompt, _ in batch)):
            rows = [row for row, (prompt, _) in enumerate(batch) if turn < len(prompt.turns)]
            for row in rows:
                chats[row].append(Message(role="user", content=batch[row][0].turns[turn]))
            prompt_ids = encode_prompts(self.tokenizer, [chats[row] for row in rows])
            self._check_room(prompt_ids, decoding.max_new_tokens)
            answers = decode(
                self.model,
                *pad_left(prompt_ids, device),
                decoding,
                stop_ids=self.stop_ids,
                random=random,
            )
            for row, ids in zip(rows, answers, strict=True):
                stopped = ids[-1] in self.stop_ids
                text = self.tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=True)
                chats[row].append(Message(role="assistant", content=text))
                num_tokens[row].append(len(ids) - stopped)
                cut[row] |= not stopped
        return [
            Completion(
                prompt.id,
                sample,
                tuple(message["content"] for message in chat if message["role"] == "assistant"),
                tuple(counts),
                truncated,
            )
            for (prompt, sample), chat, counts, truncated in zip(batch, chats, num_tokens, cut, strict=True)
        ]

    def _check_room(self, prompt_ids: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        room = getattr(self.model.config, "max_position_embeddings", None)
        longest = max(map(len, prompt_ids))
        if room is not None and longest + max_new_tokens > room:
            raise UsageError(
                f"generation: a chat of {longest} tokens and {max_new_tokens} new ones do not fit into the"
                f" model's context of {room}; lower decoding.max_new_tokens or take shorter prompts"
            )


def stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: the template's end of turn and the end tokens of model and tokenizer."""
    ends = model.generation_config.eos_token_id
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
) -> list[list[int]]:
    """New token ids of each row, up to and with its stop token, or decoding.max_new_tokens of them."""
    (num_rows, num_prompt), num_new = ids_BP.shape, decoding.max_new_tokens
    cache = RoomyCache(model.config.num_hidden_layers, num_prompt + num_new)
    mask_NT = torch.cat([mask_BP, mask_BP.new_ones(num_rows, num_new)], dim=1)
    positions_NT = (mask_NT.cumsum(1) - 1).clamp(min=0)
    stops = torch.tensor(sorted(stop_ids), device=ids_BP.device)
    out_BT = ids_BP.new_zeros(num_rows, num_new)
    length_B = ids_BP.new_full((num_rows,), num_new)
    rows_N = torch.arange(num_rows, device=ids_BP.device)
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
        # Drawn for all rows of the batch, finished or not: a row's randomness is its own.
        uniform_B = torch.rand(num_rows, generator=random, device=ids_BP.device)
        token_N = choose(logits_NV, decoding.temperature, decoding.top_p, uniform_B[rows_N])
        out_BT[rows_N, step] = token_N
        live_N = torch.isin(token_N, stops, invert=True)
        if not live_N.all():
            length_B[rows_N[~live_N]] = step + 1
            if not live_N.any():
                break
            order_N = cache.keep(live_N)
            rows_N, token_N = rows_N[order_N], token_N[order_N]
            mask_NT, positions_NT = mask_NT[order_N], positions_NT[order_N]
        input_Nt, start = token_N[:, None], end
    return [ids[:length] for ids, length in zip(out_BT.tolist(), length_B.tolist(), strict=True)]


def choose(logits_NV: Tensor, temperature: float, top_p: float, uniform_N: Tensor) -> Tensor:
    """Next tokens (N,): the best at temperature 0, else drawn by inverse transform of uniform_N.

    top_p: the smallest set of most probable tokens whose mass reaches it is drawn from (arXiv 1904.09751).
    """
    if temperature == 0:
        return logits_NV.argmax(-1)
    probabilities_NV = torch.softmax(logits_NV.float() / temperature, dim=-1)
    order_NV = None
    if top_p < 1:
        probabilities_NV, order_NV = probabilities_NV.sort(dim=-1, descending=True, stable=True)
        before_NV = probabilities_NV.cumsum(-1) - probabilities_NV
        probabilities_NV = probabilities_NV.masked_fill(before_NV >= top_p, 0.0)
    cumulative_NV = probabilities_NV.cumsum(-1)
    # Kept below the whole mass, which rounding could reach: a token of probability 0 is never drawn.
    mass_N1 = cumulative_NV[:, -1:]
    target_N1 = torch.minimum(uniform_N[:, None] * mass_N1, mass_N1.nextafter(torch.zeros_like(mass_N1)))
    index_N1 = torch.searchsorted(cumulative_NV, target_N1, right=True)
    return (index_N1 if order_NV is None else order_NV.gather(1, index_N1))[:, 0]
