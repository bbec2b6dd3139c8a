"""The language-modelling objective: next-token loss on plain texts (pretraining) or on chosen tokens (SFT)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ropo_bench.methods import TrainRecipe
from ropo_bench.training.batches import micro_batches, num_steps, step_indices
from ropo_bench.training.logprobs import token_logps
from ropo_bench.training.loop import StepPart


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
        for group in micro_batches(indices, self.lengths, self.train.micro_batch_size):
            input_NT, attention_NT, scored_NT = (t.to(device) for t in self._tensors(group))
            logps_C, _ = token_logps(model, input_NT, attention_NT, scored_NT)
            yield StepPart(-logps_C.sum() / total, {}, sum(self.lengths[i] for i in group))

    def _tensors(self, group: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        width = max(self.lengths[i] for i in group)
        input_NT = torch.full((len(group), width), self.pad_id, dtype=torch.long)
        attention_NT = torch.zeros((len(group), width), dtype=torch.long)
        scored_NT = torch.zeros((len(group), width), dtype=torch.bool)
        for row, index in enumerate(group):
            sequence = self.sequences[index]
            end = len(sequence.ids)
            input_NT[row, :end] = torch.tensor(sequence.ids)
            attention_NT[row, :end] = 1
            scored_NT[row, :end] = torch.tensor(sequence.scored)
        return input_NT, attention_NT, scored_NT
