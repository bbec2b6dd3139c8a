"""Which pairs make up each optimizer step, and in which groups they pass through the model."""

from __future__ import annotations

from collections.abc import Sequence

import torch


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


def micro_batches(
    indices: Sequence[int], lengths: Sequence[int], micro_batch_size: int, budget: int | None = None
) -> list[list[int]]:
    """The items of one step in groups of similar length; the step's set of items is unchanged.

    lengths: tokens of every item of the data. A group has at most micro_batch_size items of at most `budget` tokens
    together, where a budget is given; an item that is longer goes alone. The longest come first: what does not
    fit in memory fails at the first step's first group.
    """
    groups: list[list[int]] = []
    tokens = 0
    for index in sorted(indices, key=lambda i: (-lengths[i], i)):
        fits = groups and len(groups[-1]) < micro_batch_size
        if fits and (budget is None or tokens + lengths[index] <= budget):
            groups[-1].append(index)
            tokens += lengths[index]
        else:
            groups.append([index])
            tokens = lengths[index]
    return groups
