"""Pairs to batches: which pairs make up each optimizer step, and how they become tensors.

Shapes: B pairs, N = 2B sequences (chosen rows first, then rejected), T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ropo_bench.types import TokenizedPair


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded chosen and rejected sequences of B pairs; completion_NT marks the tokens that are scored."""

    ids: tuple[str, ...]
    input_NT: Tensor
    attention_NT: Tensor
    completion_NT: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.ids,
            self.input_NT.to(device, non_blocking=True),
            self.attention_NT.to(device, non_blocking=True),
            self.completion_NT.to(device, non_blocking=True),
        )


def num_steps(num_pairs: int, batch_size: int, epochs: float, max_steps: int | None) -> int:
    """Optimizer steps of a schedule: every pair is seen `epochs` times unless max_steps ends it earlier."""
    steps = -(-round(epochs * num_pairs) // batch_size)
    return steps if max_steps is None else min(steps, max_steps)


def step_indices(num_pairs: int, batch_size: int, epochs: float, seed: int, step: int) -> list[int]:
    """Positions of the pairs of one optimizer step, a pure function of its arguments (no state to resume).

    The stream is one shuffled epoch after another, cut at epochs * num_pairs; only its last batch may be short.
    """
    stop = min((step + 1) * batch_size, round(epochs * num_pairs))
    indices: list[int] = []
    position = step * batch_size
    while position < stop:
        epoch, start = divmod(position, num_pairs)
        order = _epoch_order(num_pairs, seed, epoch)
        take = min(stop - position, num_pairs - start)
        indices += order[start : start + take]
        position += take
    return indices


def _epoch_order(num_pairs: int, seed: int, epoch: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order: list[int] = torch.randperm(num_pairs, generator=generator).tolist()
    return order


def micro_batches(indices: Sequence[int], lengths: Sequence[int], micro_batch_size: int) -> list[list[int]]:
    """The pairs of one step in groups of similar length (least padding); the step's set of pairs is unchanged."""
    ordered = sorted(indices, key=lambda i: (-lengths[i], i))
    return [ordered[i : i + micro_batch_size] for i in range(0, len(ordered), micro_batch_size)]


def pair_length(pair: TokenizedPair) -> int:
    """Tokens of the longer of the pair's two sequences."""
    return len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids))


def collate(pairs: Sequence[TokenizedPair], pad_id: int) -> Batch:
    """Pad B pairs to one rectangle of N = 2B rows."""
    rows = [(p.prompt_ids, p.chosen_ids) for p in pairs] + [(p.prompt_ids, p.rejected_ids) for p in pairs]
    width = max(len(prompt) + len(completion) for prompt, completion in rows)
    input_NT = torch.full((len(rows), width), pad_id, dtype=torch.long)
    attention_NT = torch.zeros((len(rows), width), dtype=torch.long)
    completion_NT = torch.zeros((len(rows), width), dtype=torch.bool)
    for row, (prompt, completion) in enumerate(rows):
        end = len(prompt) + len(completion)
        input_NT[row, :end] = torch.tensor(prompt + completion)
        attention_NT[row, :end] = 1
        completion_NT[row, len(prompt) : end] = True
    return Batch(tuple(p.id for p in pairs), input_NT, attention_NT, completion_NT)
