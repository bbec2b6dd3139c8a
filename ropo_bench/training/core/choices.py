"""Log-likelihoods of continuations, many of one context: what sequences begin with is computed once.

Multiple choice asks for every answer to a question apart, and most of a request is the question. Here the requests
of a question are one segment of a packed row (training.core.packing), and the head sees scored positions only, each
of them once.

Shapes: C scored tokens of a row, U positions that predict them, D hidden width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from ropo_bench.recipes.method import CoreRecipe
from ropo_bench.training.core.attention import can_pack
from ropo_bench.training.core.head import head_choices
from ropo_bench.training.core.logit_change import logit_change
from ropo_bench.training.core.logprobs import scored_hidden
from ropo_bench.training.core.own_forward import own_logps, worst_difference
from ropo_bench.training.core.packing import Choice, pack_choices, shared_tokens
from ropo_bench.training.core.switches import switched

Request = tuple[Sequence[int], Sequence[int]]
"""Context ids and continuation ids, neither empty."""

# Tokens of a row: enough for matrix products at full speed.
ROW_TOKENS = {"cpu": 2048, "cuda": 16384}
# A request joins the one before it where this share of it, at least, need not be computed again.
WORTHWHILE = 0.1
PROBE_REQUESTS, PROBE_CONTEXT, PROBE_CONTINUATION = 6, 48, 16
# In how many times the rounding of fp32 the two ways may differ.
ROUNDING = {torch.float32: 1.0, torch.float16: 20.0, torch.bfloat16: 100.0}


@torch.no_grad()
def choice_logps(model: Any, requests: Sequence[Request], room_tokens: int) -> list[tuple[float, bool]] | None:
    """Of each request: summed log-probability of the continuation in nats, and whether it is the greedy choice.

    model: a transformers causal model. room_tokens: tokens that it can read; longer requests are cut from the left
    (their last token is not read). Requests of one context are to stand side by side. None where the model's packed
    rows are not what its own forward pass gives: by its architecture, or by the first requests computed both ways.
    """
    if not can_pack(model.config) or logit_change(model) is None:
        return None
    # A model's own attention comes back: nothing that it does later knows of this.
    own_attention = model.config._attn_implementation
    try:
        if not _agrees(model, requests[:PROBE_REQUESTS]):
            return None
        with switched(model, CoreRecipe(compile=False)):
            return _scored(model, [_choice(*request, room_tokens) for request in requests])
    finally:
        model.config._attn_implementation = own_attention


def _agrees(model: Any, requests: Sequence[Request]) -> bool:
    """Whether both ways give the ends of these requests the same log-probabilities, to rounding."""
    ends = [
        (tuple(context[-PROBE_CONTEXT:]), tuple(continuation[:PROBE_CONTINUATION]))
        for context, continuation in requests
    ]
    own = own_logps(model, ends)
    with switched(model, CoreRecipe(compile=False)):
        packed = _scored(model, [Choice((*context, *end), len(end)) for context, end in ends])
    return worst_difference(own, [logp for logp, _ in packed]) <= ROUNDING.get(model.dtype, 1.0)


def _choice(context: Sequence[int], continuation: Sequence[int], room_tokens: int) -> Choice:
    return Choice((*context, *continuation)[-(room_tokens + 1) :], len(continuation))


def _scored(model: Any, choices: Sequence[Choice]) -> list[tuple[float, bool]]:
    results: list[tuple[float, bool]] = [(0.0, True)] * len(choices)
    room = ROW_TOKENS.get(model.device.type, ROW_TOKENS["cuda"])
    for row in _rows(choices, room):
        numbers = [number for group in row for number in group]
        scores = _row_scores(model, [[choices[number] for number in group] for group in row])
        for number, score in zip(numbers, scores, strict=True):
            results[number] = score
    return results


def _row_scores(model: Any, groups: Sequence[Sequence[Choice]]) -> Iterator[tuple[float, bool]]:
    batch = pack_choices(groups).to(model.device)
    change = logit_change(model)
    assert change is not None
    source_U, place_C = torch.unique(batch.source_C, return_inverse=True)
    hidden_UD = scored_hidden(model, replace(batch, source_C=source_U))
    logps_C, greedy_C = head_choices(hidden_UD, model.get_output_embeddings(), place_C, batch.target_C, change)
    logps_N = torch.zeros(batch.num_sequences, dtype=torch.float64, device=model.device)
    misses_N = torch.zeros_like(logps_N)
    logps_N.index_add_(0, batch.sequence_C, logps_C.double())
    misses_N.index_add_(0, batch.sequence_C, (~greedy_C).double())
    return zip(logps_N.tolist(), (misses_N == 0).tolist(), strict=True)


def _groups(choices: Sequence[Choice], room: int) -> list[list[int]]:
    """Neighbours that are worth computing together, as their numbers."""
    groups: list[list[int]] = []
    together: list[tuple[int, ...]] = []  # what is read of the last group
    tokens = 0
    for number, choice in enumerate(choices):
        read = choice.ids[:-1]
        joined = _num_tokens([*together, read])
        if together and joined <= room and tokens + len(read) - joined >= WORTHWHILE * len(read):
            groups[-1].append(number)
            together, tokens = [*together, read], joined
        else:
            groups.append([number])
            together, tokens = [read], len(read)
    return groups


def _num_tokens(reads: Sequence[tuple[int, ...]]) -> int:
    """Tokens of a segment that holds these sequences."""
    shared = shared_tokens(reads)
    return shared + sum(len(branch) for branch in {read[shared:] for read in reads})


def _rows(choices: Sequence[Choice], room: int) -> Iterator[list[list[int]]]:
    """Groups that fill a row, the longest first, so that too little memory shows at once."""
    groups = _groups(choices, room)
    tokens = [_num_tokens([choices[number].ids[:-1] for number in group]) for group in groups]
    row: list[list[int]] = []
    filled = 0
    for index in sorted(range(len(groups)), key=lambda index: -tokens[index]):
        if row and filled + tokens[index] > room:
            yield row
            row, filled = [], 0
        row.append(groups[index])
        filled += tokens[index]
    if row:
        yield row
