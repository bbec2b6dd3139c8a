"""Preference losses: pure functions of log-probabilities that give one loss a pair.

Legend: B pairs. Log-probabilities (logps) are in nats and summed over completion tokens. The loss of an
optimizer step is the mean over its pairs, so micro-batches of any size add up to the same loss; whatever is
normalised over the step (token means, the KL estimate) comes in as a scalar of the whole step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ropo_bench.errors import UsageError
from ropo_bench.recipes.method import LossRecipe
from ropo_bench.recipes.objects import resolve_object

# Where a recipe is silent. SimPO's ratio and CPO's weight are their authors'; R-DPO's alpha is ours.
SIMPO_GAMMA_BETA_RATIO = 0.5
CPO_ALPHA = 1.0
R_DPO_ALPHA = 0.01


@dataclass(frozen=True, slots=True)
class PairLogps:
    """Log-probabilities of B pairs, (B,) each, and scalars of their optimizer step.

    reference_*: of the frozen reference; None for losses that do not use it. *_num_tokens: completion
    lengths. mean_chosen_num_tokens: over all pairs of the step. kl: KTO's z_0, see `estimate_kl`.
    """

    chosen: Tensor
    rejected: Tensor
    reference_chosen: Tensor | None
    reference_rejected: Tensor | None
    chosen_num_tokens: Tensor
    rejected_num_tokens: Tensor
    mean_chosen_num_tokens: Tensor
    kl: Tensor | None = None


TwoTensors = tuple[Tensor, Tensor]  # of the chosen and of the rejected completion


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss and what it needs.

    function: (PairLogps, LossRecipe) -> (B,). rewards: the implicit rewards that it compares, for the logs;
    None: beta times the logratios where a reference is used, beta times the logps elsewhere.
    """

    function: Callable[[PairLogps, LossRecipe], Tensor]
    uses_reference: bool
    needs_kl: bool = False
    rewards: Callable[[PairLogps, LossRecipe], TwoTensors] | None = None


def logratios(logps: PairLogps) -> TwoTensors:
    """log(policy / reference) of both completions, each (B,)."""
    assert logps.reference_chosen is not None, "this loss needs reference log-probabilities"
    assert logps.reference_rejected is not None, "this loss needs reference log-probabilities"
    return logps.chosen - logps.reference_chosen, logps.rejected - logps.reference_rejected


def _token_means(chosen: Tensor, rejected: Tensor, logps: PairLogps) -> TwoTensors:
    # An empty completion (cut to nothing) has the sum 0 and gets the mean 0, not NaN.
    return chosen / logps.chosen_num_tokens.clamp(min=1), rejected / logps.rejected_num_tokens.clamp(min=1)


def _chosen_nll(logps: PairLogps) -> Tensor:
    """(B,) whose mean over the optimizer step is the NLL a chosen token."""
    return -logps.chosen / logps.mean_chosen_num_tokens


def _logistic(margin: Tensor, label_smoothing: float) -> Tensor:
    """-log sigmoid of the reward margin; labels are assumed flipped with probability label_smoothing."""
    return -(1 - label_smoothing) * logsigmoid(margin) - label_smoothing * logsigmoid(-margin)


def logratio_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta log(policy / reference): DPO's reward, arXiv 2305.18290 Eq. 5, without its prompt term."""
    chosen, rejected = logratios(logps)
    return recipe.beta * chosen, recipe.beta * rejected


def logp_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta log(policy): CPO's reward, arXiv 2401.08417 Eq. 3."""
    return recipe.beta * logps.chosen, recipe.beta * logps.rejected


def mean_logp_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta times the mean log-probability of a token, as ORPO compares it (arXiv 2403.07691 Eq. 1)."""
    chosen, rejected = _token_means(logps.chosen, logps.rejected, logps)
    return recipe.beta * chosen, recipe.beta * rejected


def simpo_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta times the mean log-probability of a token: SimPO, arXiv 2405.14734 Eq. 4.

    With option alpha != 0 the probability p (geometric mean a token) counts as (1 - p^-alpha) / alpha instead
    of log p, its limit at alpha = 0: AlphaPO, arXiv 2501.03884.
    """
    chosen, rejected = _token_means(logps.chosen, logps.rejected, logps)
    alpha = recipe.options.get("alpha", 0.0)
    if alpha:
        chosen, rejected = -torch.expm1(-alpha * chosen) / alpha, -torch.expm1(-alpha * rejected) / alpha
    return recipe.beta * chosen, recipe.beta * rejected


def sigmoid(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """DPO, arXiv 2305.18290 Eq. 7; with label_smoothing conservative DPO, Mitchell 2023 (cDPO note) Eq. 3."""
    chosen, rejected = logratio_rewards(logps, recipe)
    return _logistic(chosen - rejected, recipe.label_smoothing)


def ipo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """IPO, arXiv 2310.12036 Eq. 17 with tau = beta, on logratios averaged over completion tokens.

    The averaging is not in the equation; TRL has it from the paper's authors. label_smoothing is not read.
    """
    chosen, rejected = _token_means(*logratios(logps), logps)
    return (chosen - rejected - 1 / (2 * recipe.beta)) ** 2


def simpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """SimPO, arXiv 2405.14734 Eq. 6, plus cpo_alpha times the chosen completion's NLL a token (CPO-SimPO).

    Options: gamma_beta_ratio (target margin over beta, default 0.5), cpo_alpha (default 0, the paper's loss),
    alpha (see `simpo_rewards`).
    """
    chosen, rejected = simpo_rewards(logps, recipe)
    gamma = recipe.beta * recipe.options.get("gamma_beta_ratio", SIMPO_GAMMA_BETA_RATIO)
    loss = _logistic(chosen - rejected - gamma, recipe.label_smoothing)
    return loss + recipe.options.get("cpo_alpha", 0.0) * _chosen_nll(logps)


def orpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """ORPO, arXiv 2403.07691 Eq. 6 with lambda = beta; odds and their ratio by Eqs. 4 and 7, of token means.

    The NLL is that of the chosen completion given its prompt, as the paper writes log P(y|x) in Eq. 1; TRL
    adds the prompt's own tokens to it. label_smoothing is not read.
    """
    chosen, rejected = _token_means(logps.chosen, logps.rejected, logps)
    log_odds_ratio = _log_odds(chosen) - _log_odds(rejected)
    return _chosen_nll(logps) - recipe.beta * logsigmoid(log_odds_ratio)


def _log_odds(mean_logps: Tensor) -> Tensor:
    """log(p / (1 - p)) of p = exp(mean_logps); p is kept one rounding step below 1, where the odds end."""
    logp = mean_logps.clamp(max=-torch.finfo(mean_logps.dtype).eps)
    return logp - torch.log(-torch.expm1(logp))


def cpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """CPO, arXiv 2401.08417 Eq. 3 plus its NLL term: cpo_alpha (default 1) times the chosen NLL a token."""
    chosen, rejected = logp_rewards(logps, recipe)
    nll = recipe.options.get("cpo_alpha", CPO_ALPHA) * _chosen_nll(logps)
    return _logistic(chosen - rejected, recipe.label_smoothing) + nll


def r_dpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """Length-regularised DPO (Park et al. 2024, arXiv 2403.19159, the R-DPO loss of its section 3).

    The paper's objective pays reward - alpha * tokens, whose optimum has reward = beta * logratio + alpha *
    tokens + const(prompt): so alpha times the length difference is added to DPO's margin. Option: alpha, in
    reward a token (default 0.01).
    """
    chosen, rejected = logratio_rewards(logps, recipe)
    length_difference = logps.chosen_num_tokens - logps.rejected_num_tokens
    margin = chosen - rejected + recipe.options.get("alpha", R_DPO_ALPHA) * length_difference
    return _logistic(margin, recipe.label_smoothing)


def kto_pair(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """KTO on both completions of a pair, arXiv 2402.01306 Eq. 7 with both weights 1: the mean of the two.

    logps.kl is z_0 of the equation, in nats; no gradient flows through it. label_smoothing is not read.
    """
    assert logps.kl is not None, "kto-pair needs the step's KL estimate"
    chosen, rejected = logratio_rewards(logps, recipe)
    z0 = recipe.beta * logps.kl.detach()
    return (torch.sigmoid(z0 - chosen) + torch.sigmoid(rejected - z0)) / 2


def estimate_kl(logratios_N: Tensor) -> Tensor:
    """KTO's reference point z_0 (arXiv 2402.01306, the estimate below Eq. 7): max(0, mean logratio), detached.

    logratios_N: (N,) log(policy / reference) of all chosen and rejected completions of the optimizer step. The
    paper takes completions of other prompts instead, which needs a reference pass a step; the step's own
    completions need none, and are what paired implementations use.
    """
    return logratios_N.detach().mean().clamp(min=0)


LOSSES: dict[str, Loss] = {
    "sigmoid": Loss(sigmoid, uses_reference=True),
    "ipo": Loss(ipo, uses_reference=True),
    "simpo": Loss(simpo, uses_reference=False, rewards=simpo_rewards),
    "orpo": Loss(orpo, uses_reference=False, rewards=mean_logp_rewards),
    "cpo": Loss(cpo, uses_reference=False),
    "r-dpo": Loss(r_dpo, uses_reference=True),
    "kto-pair": Loss(kto_pair, uses_reference=True, needs_kl=True),
}


def resolve_loss(name: str) -> Loss:
    """The loss of a short name, or the `Loss` object at "module:object"; UsageError where there is none."""
    loss = resolve_object(name, LOSSES, "loss")
    if not isinstance(loss, Loss):
        raise UsageError(f"loss {name!r}: is a {type(loss).__name__}; it must be a ropo_bench.losses.Loss object")
    return loss


def metrics(logps: PairLogps, recipe: LossRecipe) -> dict[str, Tensor]:
    """Means over B pairs under TRL's names.

    rewards/*: of the loss's implicit reward; rewards/accuracies: share of pairs, 0..1, whose chosen reward is
    greater. logps/*: in nats, summed over the completion for every loss (TRL logs means for ORPO and SimPO).
    """
    loss = resolve_loss(recipe.name)
    rewards = loss.rewards or (logratio_rewards if loss.uses_reference else logp_rewards)
    with torch.no_grad():
        chosen, rejected = rewards(logps, recipe)
        return {
            "rewards/chosen": chosen.mean(),
            "rewards/rejected": rejected.mean(),
            "rewards/margins": (chosen - rejected).mean(),
            "rewards/accuracies": (chosen > rejected).float().mean(),
            "logps/chosen": logps.chosen.mean(),
            "logps/rejected": logps.rejected.mean(),
        }
