"""What a loss is: log-probabilities of pairs in, one number a pair out; and the rewards that losses compare.

Legend: B pairs. Log-probabilities (logps) are in nats and summed over completion tokens. The loss of an
optimizer step is the mean over its pairs, so micro-batches of any size add up to the same loss; whatever is
normalised over the step (token means, the KL estimate) comes in as a scalar of the whole step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from ropo_bench.recipes.method import LossRecipe


@dataclass(frozen=True, slots=True)
class PairLogps:
    """Log-probabilities of B pairs, (B,) each, and scalars of their optimizer step.

    reference_*: of the frozen reference; None for losses that do not use it. *_num_tokens: completion
    lengths. mean_chosen_num_tokens: over all pairs of the step. kl: KTO's z_0, see `estimate_kl`. statistics: see
    `StepStatistics`; None for losses that do not need them.
    """

    chosen: Tensor
    rejected: Tensor
    reference_chosen: Tensor | None
    reference_rejected: Tensor | None
    chosen_num_tokens: Tensor
    rejected_num_tokens: Tensor
    mean_chosen_num_tokens: Tensor
    kl: Tensor | None = None
    statistics: StepStatistics | None = None


@dataclass(frozen=True, slots=True)
class StepStatistics:
    """What a loss compares a pair with: scalars over all pairs of its optimizer step, without gradient.

    logratio_mean: of log(policy / reference) of all chosen and rejected completions, in nats. margin_mean,
    margin_std: of the margin in log-ratios a token (chosen less rejected), in nats a token; the deviation is the
    population's.
    """

    logratio_mean: Tensor
    margin_mean: Tensor
    margin_std: Tensor


MAX_EXPONENT = 30.0  # of a probability's inverse: loss and gradient stay finite where an answer is impossible
TwoTensors = tuple[Tensor, Tensor]  # of the chosen and of the rejected completion


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss and what it needs.

    function: (PairLogps, LossRecipe) -> (B,). needs_kl, needs_statistics: a pass without gradients over the whole
    step first, for PairLogps.kl or .statistics. rewards: the implicit rewards that it compares, for the logs; None:
    beta times the logratios where a reference is used, beta times the logps elsewhere.
    """

    function: Callable[[PairLogps, LossRecipe], Tensor]
    uses_reference: bool
    needs_kl: bool = False
    rewards: Callable[[PairLogps, LossRecipe], TwoTensors] | None = None
    needs_statistics: bool = False


def logratios(logps: PairLogps) -> TwoTensors:
    """log(policy / reference) of both completions, each (B,)."""
    assert logps.reference_chosen is not None, "this loss needs reference log-probabilities"
    assert logps.reference_rejected is not None, "this loss needs reference log-probabilities"
    return logps.chosen - logps.reference_chosen, logps.rejected - logps.reference_rejected


def token_means(chosen: Tensor, rejected: Tensor, logps: PairLogps) -> TwoTensors:
    """Sums over the tokens of both completions as means."""
    # An empty completion (cut to nothing) has the sum 0 and gets the mean 0, not NaN.
    return chosen / logps.chosen_num_tokens.clamp(min=1), rejected / logps.rejected_num_tokens.clamp(min=1)


def mean_margins(logps: PairLogps) -> Tensor:
    """(B,) log(policy / reference) a token of the chosen completion less that of the rejected one."""
    chosen, rejected = token_means(*logratios(logps), logps)
    return chosen - rejected


def chosen_nll(logps: PairLogps) -> Tensor:
    """(B,) whose mean over the optimizer step is the NLL a chosen token."""
    return -logps.chosen / logps.mean_chosen_num_tokens


def logistic(margin: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-log sigmoid of the reward margin; labels are assumed flipped with probability label_smoothing."""
    return -(1 - label_smoothing) * logsigmoid(margin) - label_smoothing * logsigmoid(-margin)


def logratio_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta log(policy / reference): DPO's reward, arXiv 2305.18290 Eq. 5, without its prompt term."""
    chosen, rejected = logratios(logps)
    return recipe.beta * chosen, recipe.beta * rejected


def mean_logratio_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta times the mean over tokens of log(policy / reference)."""
    chosen, rejected = token_means(*logratios(logps), logps)
    return recipe.beta * chosen, recipe.beta * rejected


def logp_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta log(policy): CPO's reward, arXiv 2401.08417 Eq. 3."""
    return recipe.beta * logps.chosen, recipe.beta * logps.rejected


def mean_logp_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta times the mean log-probability of a token, as ORPO compares it (arXiv 2403.07691 Eq. 1)."""
    chosen, rejected = token_means(logps.chosen, logps.rejected, logps)
    return recipe.beta * chosen, recipe.beta * rejected


def estimate_kl(logratios_N: Tensor) -> Tensor:
    """KTO's reference point z_0 (arXiv 2402.01306, the estimate below Eq. 7): max(0, mean logratio), detached.

    logratios_N: (N,) log(policy / reference) of all chosen and rejected completions of the optimizer step. The
    paper takes completions of other prompts instead, which needs a reference pass a step; the step's own
    completions need none, and are what paired implementations use.
    """
    return logratios_N.detach().mean().clamp(min=0)
