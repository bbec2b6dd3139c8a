"""DPO and the losses that change its margin: -log sigmoid of a difference in log-ratios to the reference."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ropo_bench.losses.loss import (
    PairLogps,
    logistic,
    logratio_rewards,
    logratios,
    mean_logratio_rewards,
    token_means,
)
from ropo_bench.losses.registry import named
from ropo_bench.recipes.method import LossRecipe

# Where a recipe is silent. R-DPO's alpha is ours, the others are their authors'.
R_DPO_ALPHA = 0.01
DPO_NLL_ALPHA = 1.0
DPOP_LAMBDA = 50.0
FOCAL_GAMMA = 0.05


@named("sigmoid")
def sigmoid(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """DPO, arXiv 2305.18290 Eq. 7; with label_smoothing conservative DPO, Mitchell 2023 (cDPO note) Eq. 3."""
    chosen, rejected = logratio_rewards(logps, recipe)
    return logistic(chosen - rejected, recipe.label_smoothing)


@named("robust-dpo")
def robust_dpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """Robust DPO, arXiv 2403.00409, its unbiased loss: ((1 - e) L(pair) - e L(labels swapped)) / (1 - 2 e).

    e is label_smoothing, the share of flipped labels; at 0 it is DPO. The value may be negative.
    """
    chosen, rejected = logratio_rewards(logps, recipe)
    margin, flipped = chosen - rejected, recipe.label_smoothing
    return ((1 - flipped) * logistic(margin) - flipped * logistic(-margin)) / (1 - 2 * flipped)


@named("ln-dpo", rewards=mean_logratio_rewards)
def ln_dpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """Length-normalised DPO, arXiv 2411.15124 (Tulu 3) Eq. 6: DPO on log-ratios averaged over their tokens."""
    chosen, rejected = mean_logratio_rewards(logps, recipe)
    return logistic(chosen - rejected, recipe.label_smoothing)


@named("r-dpo")
def r_dpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """Length-regularised DPO (Park et al. 2024, arXiv 2403.19159, the R-DPO loss of its section 3).

    The paper's objective pays reward - alpha * tokens, whose optimum has reward = beta * logratio + alpha *
    tokens + const(prompt): so alpha times the length difference is added to DPO's margin. Option: alpha, in
    reward a token (default 0.01).
    """
    chosen, rejected = logratio_rewards(logps, recipe)
    length_difference = logps.chosen_num_tokens - logps.rejected_num_tokens
    margin = chosen - rejected + recipe.options.get("alpha", R_DPO_ALPHA) * length_difference
    return logistic(margin, recipe.label_smoothing)


@named("dpo-nll")
def dpo_nll(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """DPO + NLL, the RPO loss of arXiv 2404.19733 Eq. 1: DPO plus alpha times the chosen answer's NLL a token.

    The NLL is the mean over the tokens of each answer, as in the equation, not over those of the step. Option: alpha
    (default 1, the paper's).
    """
    chosen, rejected = logratio_rewards(logps, recipe)
    nll, _ = token_means(-logps.chosen, -logps.rejected, logps)
    return logistic(chosen - rejected, recipe.label_smoothing) + recipe.options.get("alpha", DPO_NLL_ALPHA) * nll


@named("dpop")
def dpop(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """DPO-Positive, arXiv 2402.13228 (Smaug) Eq. 3: the margin pays for a chosen answer less likely than at first.

    lambda max(0, log(reference / policy)) of the chosen answer is taken off inside beta. Option: lambda (default 50).
    """
    chosen, rejected = logratios(logps)
    penalty = recipe.options.get("lambda", DPOP_LAMBDA) * (-chosen).clamp(min=0)
    return logistic(recipe.beta * (chosen - rejected - penalty), recipe.label_smoothing)


@named("focalpo")
def focalpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """FocalPO, arXiv 2501.06645: -p^gamma log p, p = sigmoid of DPO's margin, so wrongly ranked pairs count less.

    Option: gamma (default 0.05, the paper's). label_smoothing is not read. Below p = e^(-1/gamma) the loss falls
    again: pairs that are ranked that wrongly are given up.
    """
    chosen, rejected = logratio_rewards(logps, recipe)
    logp = logsigmoid(chosen - rejected)
    return -torch.exp(recipe.options.get("gamma", FOCAL_GAMMA) * logp) * logp


@named("hypo")
def hypo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """HyPO (Hybrid-DPO), arXiv 2602.11902: DPO with max(0, margin of the reference) in the place of that margin.

    Where the reference itself prefers the rejected answer, its margin counts as 0.
    """
    assert logps.reference_chosen is not None, "this loss needs reference log-probabilities"
    assert logps.reference_rejected is not None, "this loss needs reference log-probabilities"
    reference = (logps.reference_chosen - logps.reference_rejected).clamp(min=0)
    return logistic(recipe.beta * (logps.chosen - logps.rejected - reference), recipe.label_smoothing)
