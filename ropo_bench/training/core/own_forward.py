"""Asked before anything is trained: are the core's log-probabilities those of the model's own forward pass?

The core leaves out what a batch does not need: padding, the second copy of a prompt, logits that nobody reads.
Whether an architecture allows that is not looked up in a list: a few tokens of real pairs are computed both ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ropo_bench.adapters import plain_model
from ropo_bench.errors import UsageError
from ropo_bench.models.load import trying
from ropo_bench.recipes.method import CoreRecipe
from ropo_bench.training.core.logprobs import collate, completion_logps
from ropo_bench.training.core.switches import switched
from ropo_bench.types import TokenizedPair

MAX_ERROR = 1e-3
"""Nats a sequence, plus MAX_RELATIVE of its log-probability: fp32 sums in another order stay a tenth of it."""
MAX_RELATIVE = 1e-4
PROMPT_TOKENS, COMPLETION_TOKENS = 48, 16


def check_logps(model: nn.Module, pairs: Sequence[TokenizedPair], core: CoreRecipe, pad_id: int) -> None:
    """Compare both ways on the ends of two prompts of unlike lengths, in fp32 and without an optimizer step.

    model: the base, or the policy before its first step. Raises UsageError with the worst difference in nats, and
    with the switch that agrees, if one does.
    """
    probes = _probes(pairs)
    core = core.model_copy(update={"compile": False})  # for a few tokens it would only cost minutes
    way = "train another base" if plain_model(model) is model else "name other target_modules, or train another base"
    with trying(plain_model(model), "read two pairs", way):
        own = own_logps(plain_model(model), _sequences(probes))
        error = worst_difference(own, _core_logps(model, probes, core, pad_id))
    if error <= 1:
        return
    name = plain_model(model).config.model_type
    agreeing = [
        f"--set train.core.{switch}=false"
        for switch in ("packing", "kernels", "fused_head")
        if worst_difference(own, _core_logps(model, probes, core.model_copy(update={switch: False}), pad_id)) <= 1
    ]
    way = f"with {agreeing[0]} they agree" if agreeing else "no switch of the core mends it: train another base"
    raise UsageError(
        f"model of type {name!r}: the training core's log-probabilities are not those of the model's own forward pass"
        f" (worst difference {error * MAX_ERROR:.3g} nats or more on {len(own)} short sequences); {way}"
    )


def _probes(pairs: Sequence[TokenizedPair]) -> list[TokenizedPair]:
    """The shortest and the longest prompt of the first pairs, cut to a few tokens; never of one length."""
    ordered = sorted(pairs[:64], key=lambda pair: len(pair.prompt_ids))
    short, long = ordered[0], ordered[-1]
    room = min(PROMPT_TOKENS, max(1, len(long.prompt_ids) - 1))
    return [_cut(long, PROMPT_TOKENS), _cut(short, room // 2 + 1)]


def _cut(pair: TokenizedPair, prompt_tokens: int) -> TokenizedPair:
    return TokenizedPair(
        pair.id,
        pair.prompt_ids[-prompt_tokens:],
        pair.chosen_ids[:COMPLETION_TOKENS],
        pair.rejected_ids[: COMPLETION_TOKENS - 5],
    )


def _sequences(pairs: Sequence[TokenizedPair]) -> list[tuple[Sequence[int], Sequence[int]]]:
    """Prompt and completion of each, chosen completions first."""
    chosen: list[tuple[Sequence[int], Sequence[int]]] = [(pair.prompt_ids, pair.chosen_ids) for pair in pairs]
    return [*chosen, *((pair.prompt_ids, pair.rejected_ids) for pair in pairs)]


@torch.no_grad()
def own_logps(causal: Any, sequences: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """Summed log-probabilities of completions after prompts by whole forward passes, one sequence at a time."""
    device = next(causal.parameters()).device
    sums = []
    for prompt, completion in sequences:
        ids_T = torch.tensor([*prompt, *completion], device=device)
        logps_TV = causal(input_ids=ids_T[None], use_cache=False).logits[0].float().log_softmax(-1)
        logps_T = logps_TV[:-1].gather(1, ids_T[1:, None])[:, 0]
        sums.append(logps_T[len(ids_T) - len(completion) - 1 :].sum().item() if prompt else logps_T.sum().item())
    return sums


@torch.no_grad()
def _core_logps(model: nn.Module, pairs: Sequence[TokenizedPair], core: CoreRecipe, pad_id: int) -> list[float]:
    # An adapter's dropout draws, though it changes nothing before the first step: not from the training's numbers.
    with torch.random.fork_rng(), switched(model, core):
        batch = collate(model, pairs, core, pad_id).to(next(model.parameters()).device)
        return completion_logps(model, batch, core.fused_head).tolist()


def worst_difference(own: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference as a multiple of what rounding explains; a NaN is infinitely far."""
    ratios = [abs(a - b) / (MAX_ERROR + MAX_RELATIVE * abs(a)) for a, b in zip(own, other, strict=True)]
    return max(float("inf") if math.isnan(ratio) else ratio for ratio in ratios)
