"""The preference objective: pairs, cached reference log-probabilities and a loss, as optimizer steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ropo_bench.errors import UsageError
from ropo_bench.losses import PairLogps, StepStatistics, estimate_kl, logratios, mean_margins, metrics, resolve_loss
from ropo_bench.recipes.method import LossRecipe, TrainRecipe
from ropo_bench.training.batches import micro_batches, num_steps, step_indices
from ropo_bench.training.core.logprobs import collate, completion_logps
from ropo_bench.training.core.packing import pass_tokens
from ropo_bench.training.loop import StepPart
from ropo_bench.training.reference import Reference
from ropo_bench.training.team import devices
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
        self.lengths = [pass_tokens(pair, train.core) for pair in pairs]
        self.num_steps = num_steps(len(pairs), train.batch_size, train.epochs, train.max_steps)

    def _indices(self, step: int) -> list[int]:
        return step_indices(len(self.pairs), self.train.batch_size, self.train.epochs, self.seed, step)

    def ids(self, step: int) -> list[str]:
        """Ids of the pairs of one optimizer step."""
        return [self.pairs[i].id for i in self._indices(step)]

    def parts(self, model: nn.Module, step: int) -> Iterator[StepPart]:
        """One weighted loss for each micro-batch of this process, with TRL's metrics."""
        indices = self._indices(step)
        groups = micro_batches(indices, self.lengths, self.train.micro_batch_size, self.train.micro_batch_tokens)
        turns = devices.turns(groups, self.lengths)
        mean_tokens = sum(len(self.pairs[i].chosen_ids) for i in indices) / len(indices)
        kl, statistics = self._statistics(model, turns, mean_tokens)
        for turn, logps_N, num_tokens in self._passes(model, turns):
            logps = self._pair_logps(logps_N, turn.group, mean_tokens, kl, statistics)
            share = turn.weight * len(turn.group) / len(indices)
            values = {name: value * share for name, value in metrics(logps, self.recipe).items()}
            loss = self.loss.function(logps, self.recipe).mean() * share
            yield StepPart(loss, values, num_tokens if turn.weight else 0)

    def _passes(self, model: nn.Module, turns: Sequence[devices.Turn]) -> Iterator[tuple[devices.Turn, Tensor, int]]:
        """Log-probabilities of each turn's completions, (2B,), and its number of tokens."""
        device = next(model.parameters()).device
        core = self.train.core
        batches = (collate(model, [self.pairs[i] for i in turn.group], core, self.pad_id) for turn in turns)
        for turn, batch in zip(turns, devices.prefetch(batches, device), strict=True):
            yield turn, completion_logps(model, batch, core.fused_head), batch.num_tokens

    def _pair_logps(
        self,
        logps_N: Tensor,
        group: list[int],
        mean_tokens: float,
        kl: Tensor | None = None,
        statistics: StepStatistics | None = None,
    ) -> PairLogps:
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
            statistics=statistics,
        )

    def _statistics(
        self, model: nn.Module, turns: Sequence[devices.Turn], mean_tokens: float
    ) -> tuple[Tensor | None, StepStatistics | None]:
        """What the loss needs of the whole step, from a pass without gradients, so that accumulation is exact."""
        if not (self.loss.needs_kl or self.loss.needs_statistics):
            return None, None
        device = next(model.parameters()).device
        ratios: list[Tensor] = [torch.zeros(0, device=device)]
        margins: list[Tensor] = [torch.zeros(0, device=device)]
        with torch.no_grad():
            for turn, logps_N, _ in self._passes(model, turns):
                if turn.weight:
                    logps = self._pair_logps(logps_N, turn.group, mean_tokens)
                    ratios += logratios(logps)
                    margins.append(mean_margins(logps))
        mean = devices.mean_over_team(torch.cat(ratios))
        kl = estimate_kl(mean) if self.loss.needs_kl else None
        if not self.loss.needs_statistics:
            return kl, None
        margins_B = torch.cat(margins)
        margin_mean = devices.mean_over_team(margins_B)
        variance = devices.mean_over_team((margins_B - margin_mean) ** 2)
        return kl, StepStatistics(mean, margin_mean, variance.sqrt())
