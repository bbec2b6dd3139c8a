"""The preference objective: pairs, cached reference log-probabilities and a loss, as optimizer steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ropo_bench.errors import UsageError
from ropo_bench.losses import PairLogps, estimate_kl, logratios, metrics, resolve_loss
from ropo_bench.methods import LossRecipe, TrainRecipe
from ropo_bench.training.batches import collate, micro_batches, num_steps, pair_length, step_indices
from ropo_bench.training.logprobs import completion_logps
from ropo_bench.training.loop import StepPart
from ropo_bench.training.reference import Reference
from ropo_bench.types import TokenizedPair


class PreferenceObjective:
    """Yields the loss of each micro-batch; the sum over a step is the mean over its pairs."""

    def __init__(
        self,
        pairs: Sequence[TokenizedPair],
        reference: Reference | None,
        loss: LossRecipe,
        train: TrainRecipe,
        seed: int,
        pad_id: int,
    ) -> None:
        if not pairs:
            raise UsageError("preference data: no pair is left to train on")
        self.pairs, self.reference, self.recipe, self.train = pairs, reference, loss, train
        self.seed, self.pad_id = seed, pad_id
        self.loss = resolve_loss(loss.name)
        self.lengths = [pair_length(pair) for pair in pairs]
        self.num_steps = num_steps(len(pairs), train.batch_size, train.epochs, train.max_steps)

    def _indices(self, step: int) -> list[int]:
        return step_indices(len(self.pairs), self.train.batch_size, self.train.epochs, self.seed, step)

    def ids(self, step: int) -> list[str]:
        """Ids of the pairs of one optimizer step."""
        return [self.pairs[i].id for i in self._indices(step)]

    def parts(self, model: nn.Module, step: int) -> Iterator[StepPart]:
        """One weighted loss a micro-batch, with TRL's metrics."""
        device = next(model.parameters()).device
        indices = self._indices(step)
        groups = micro_batches(indices, self.lengths, self.train.micro_batch_size)
        mean_tokens = sum(len(self.pairs[i].chosen_ids) for i in indices) / len(indices)
        kl = self._kl(model, groups, mean_tokens) if self.loss.needs_kl else None
        for group in groups:
            batch = collate([self.pairs[i] for i in group], self.pad_id).to(device)
            logps = self._pair_logps(completion_logps(model, batch), group, mean_tokens, kl)
            share = len(group) / len(indices)
            values = {name: value * share for name, value in metrics(logps, self.recipe).items()}
            loss = self.loss.function(logps, self.recipe).mean() * share
            yield StepPart(loss, values, self._tokens(group))

    def _tokens(self, group: list[int]) -> int:
        pairs = (self.pairs[i] for i in group)
        return sum(2 * len(p.prompt_ids) + len(p.chosen_ids) + len(p.rejected_ids) for p in pairs)

    def _pair_logps(self, logps_N: Tensor, group: list[int], mean_tokens: float, kl: Tensor | None) -> PairLogps:
        chosen, rejected = logps_N.chunk(2)
        pairs = [self.pairs[i] for i in group]

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, device=logps_N.device, dtype=torch.float32)

        reference = None if self.reference is None else [self.reference[pair.id] for pair in pairs]
        return PairLogps(
            chosen=chosen,
            rejected=rejected,
            reference_chosen=None if reference is None else column([c for c, _ in reference]),
            reference_rejected=None if reference is None else column([r for _, r in reference]),
            chosen_num_tokens=column([len(pair.chosen_ids) for pair in pairs]),
            rejected_num_tokens=column([len(pair.rejected_ids) for pair in pairs]),
            mean_chosen_num_tokens=column([mean_tokens]).squeeze(0),
            kl=kl,
        )

    def _kl(self, model: nn.Module, groups: list[list[int]], mean_tokens: float) -> Tensor:
        """KTO's reference point over the whole step, from a pass without gradients, so accumulation is exact."""
        device = next(model.parameters()).device
        ratios: list[Tensor] = []
        with torch.no_grad():
            for group in groups:
                batch = collate([self.pairs[i] for i in group], self.pad_id).to(device)
                ratios += logratios(self._pair_logps(completion_logps(model, batch), group, mean_tokens, None))
        return estimate_kl(torch.cat(ratios))
