"""The language-modelling objective: next-token loss on plain texts (pretraining) or on chosen tokens (SFT)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ropo_bench.recipes.method import TrainRecipe
from ropo_bench.training.batches import micro_batches, num_steps, step_indices
from ropo_bench.training.core.head import head_logps
from ropo_bench.training.core.logit_change import logit_change
from ropo_bench.training.core.logprobs import scored_hidden
from ropo_bench.training.core.packing import Batch, pad_sequences
from ropo_bench.training.loop import StepPart
from ropo_bench.training.team import devices

# The testbed's shipped weights were trained with chunks of this size, and are rebuilt bit for bit with no other.
CHUNK_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Token ids and, for each, whether its prediction is part of the loss."""

    ids: tuple[int, ...]
    scored: tuple[bool, ...]


def pack(texts: Sequence[Sequence[int]], length: int) -> list[TokenSequence]:
    """Join tokenized texts and cut them into sequences of `length` tokens, all scored; the rest is dropped."""
    stream = [token for text in texts for token in text]
    scored = (True,) * length
    return [TokenSequence(tuple(stream[i : i + length]), scored) for i in range(0, len(stream) - length + 1, length)]


class LanguageObjective:
    """Mean negative log-probability of the scored tokens of each step."""

    def __init__(self, sequences: Sequence[TokenSequence], train: TrainRecipe, seed: int, pad_id: int) -> None:
        self.sequences, self.train, self.seed, self.pad_id = sequences, train, seed, pad_id
        self.lengths = [len(sequence.ids) for sequence in sequences]
        self.num_steps = num_steps(len(sequences), train.batch_size, train.epochs, train.max_steps)

    def _indices(self, step: int) -> list[int]:
        return step_indices(len(self.sequences), self.train.batch_size, self.train.epochs, self.seed, step)

    def ids(self, step: int) -> list[str]:
        """Positions of the sequences of one optimizer step."""
        return [str(index) for index in self._indices(step)]

    def parts(self, model: nn.Module, step: int) -> Iterator[StepPart]:
        """One weighted loss a micro-batch."""
        device = next(model.parameters()).device
        indices = self._indices(step)
        total = sum(sum(self.sequences[i].scored[1:]) for i in indices)
        turns = devices.turns(micro_batches(indices, self.lengths, self.train.micro_batch_size), self.lengths)
        batches = (self._batch(turn.group) for turn in turns)
        for turn, batch in zip(turns, devices.prefetch(batches, device), strict=True):
            loss = -_token_logps(model, batch).sum() / total * turn.weight
            yield StepPart(loss, {}, batch.num_tokens if turn.weight else 0)

    def _batch(self, group: Sequence[int]) -> Batch:
        rows = [self.sequences[i] for i in group]
        return pad_sequences([row.ids for row in rows], [row.scored for row in rows], self.pad_id)


def _token_logps(model: Any, batch: Batch) -> Tensor:
    """Log-probabilities of the scored tokens, (C,), a chunk at a time, each made again in the backward."""
    hidden_CD = scored_hidden(model, batch)
    head, change = model.get_output_embeddings(), logit_change(model)
    assert change is not None  # the testbed's own models
    chunks = zip(torch.split(hidden_CD, CHUNK_TOKENS), torch.split(batch.target_C, CHUNK_TOKENS), strict=True)
    if len(hidden_CD) <= CHUNK_TOKENS:
        return torch.cat([head_logps(h_cD, head, t_c, change, False) for h_cD, t_c in chunks])
    return torch.cat(
        [checkpoint(head_logps, h_cD, head, t_c, change, False, use_reentrant=False) for h_cD, t_c in chunks]
    )
