"""Losses on the policy's own log-probabilities: without a reference, or with one that only sets a margin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ropo_bench.losses.loss import (
    MAX_EXPONENT,
    PairLogps,
    TwoTensors,
    chosen_nll,
    logistic,
    logp_rewards,
    mean_logp_rewards,
    mean_margins,
    token_means,
)
from ropo_bench.losses.registry import named
from ropo_bench.recipes.method import LossRecipe

# Where a recipe is silent; their authors'.
SIMPO_GAMMA_BETA_RATIO = 0.5
CPO_ALPHA = 1.0
SLIC_DELTA = 1.0
SLIC_LAMBDA = 0.1
REPO_GAMMA = 0.6
ALPHA_DPO_ALPHA = 0.2
ALPHA_DPO_GAMMA_BETA_RATIO = 0.6
LEAST_STD = 1e-3  # nats a token; see alpha_dpo


def simpo_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta times the mean log-probability of a token: SimPO, arXiv 2405.14734 Eq. 4.

    With option alpha != 0 the probability p (geometric mean a token) counts as (1 - p^-alpha) / alpha instead
    of log p, its limit at alpha = 0: AlphaPO, arXiv 2501.03884.
    """
    chosen, rejected = token_means(logps.chosen, logps.rejected, logps)
    alpha = recipe.options.get("alpha", 0.0)
    if alpha:
        chosen, rejected = (
            -torch.expm1((-alpha * mean).clamp(max=MAX_EXPONENT)) / alpha for mean in (chosen, rejected)
        )
    return recipe.beta * chosen, recipe.beta * rejected


@named("simpo", uses_reference=False, rewards=simpo_rewards)
def simpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """SimPO, arXiv 2405.14734 Eq. 6, plus cpo_alpha times the chosen completion's NLL a token (CPO-SimPO).

    Options: gamma_beta_ratio (target margin over beta, default 0.5), cpo_alpha (default 0, the paper's loss),
    alpha (see `simpo_rewards`).
    """
    chosen, rejected = simpo_rewards(logps, recipe)
    gamma = recipe.beta * recipe.options.get("gamma_beta_ratio", SIMPO_GAMMA_BETA_RATIO)
    loss = logistic(chosen - rejected - gamma, recipe.label_smoothing)
    return loss + recipe.options.get("cpo_alpha", 0.0) * chosen_nll(logps)


@named("orpo", uses_reference=False, rewards=mean_logp_rewards)
def orpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """ORPO, arXiv 2403.07691 Eq. 6 with lambda = beta; odds and their ratio by Eqs. 4 and 7, of token means.

    The NLL is that of the chosen completion given its prompt, as the paper writes log P(y|x) in Eq. 1; TRL
    adds the prompt's own tokens to it. label_smoothing is not read.
    """
    chosen, rejected = token_means(logps.chosen, logps.rejected, logps)
    log_odds_ratio = _log_odds(chosen) - _log_odds(rejected)
    return chosen_nll(logps) - recipe.beta * logsigmoid(log_odds_ratio)


def _log_odds(mean_logps: Tensor) -> Tensor:
    """log(p / (1 - p)) of p = exp(mean_logps); p is kept one rounding step below 1, where the odds end."""
    logp = mean_logps.clamp(max=-torch.finfo(mean_logps.dtype).eps)
    return logp - torch.log(-torch.expm1(logp))


@named("cpo", uses_reference=False)
def cpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """CPO, arXiv 2401.08417 Eq. 3 plus its NLL term: cpo_alpha (default 1) times the chosen NLL a token."""
    chosen, rejected = logp_rewards(logps, recipe)
    nll = recipe.options.get("cpo_alpha", CPO_ALPHA) * chosen_nll(logps)
    return logistic(chosen - rejected, recipe.label_smoothing) + nll


@named("slic-hf", uses_reference=False)
def slic_hf(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """SLiC-HF, arXiv 2305.10425 section 2: max(0, delta - log p(chosen) + log p(rejected)) - lambda log p(target).

    The target of the regulariser is the chosen answer, as in SimPO's comparison (arXiv 2405.14734 Table 3): a pair
    has no other. Options: delta, the margin in nats (default 1), and lambda (default 0.1). beta and label_smoothing
    are not read.
    """
    margin = logps.chosen - logps.rejected
    hinge = (recipe.options.get("delta", SLIC_DELTA) - margin).clamp(min=0)
    return hinge - recipe.options.get("lambda", SLIC_LAMBDA) * logps.chosen


def inverse_perplexities(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """exp(mean log-probability of a token), in 0..1: what SimPER compares."""
    chosen, rejected = token_means(logps.chosen, logps.rejected, logps)
    return torch.exp(chosen), torch.exp(rejected)


@named("simper", uses_reference=False, rewards=inverse_perplexities)
def simper(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """SimPER, arXiv 2502.00883: inverse perplexity of the rejected answer less that of the chosen one, in -1..1.

    It has no hyper-parameter: beta and label_smoothing are not read.
    """
    chosen, rejected = inverse_perplexities(logps, recipe)
    return rejected - chosen


@named("repo", uses_reference=False, rewards=mean_logp_rewards)
def repo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """RePO, arXiv 2503.07426: max(0, gamma - margin), the margin in mean log-probability of a token.

    SimPO's limit as beta grows. Option: gamma, in nats a token (default 0.6). beta (but for the logged rewards) and
    label_smoothing are not read.
    """
    chosen, rejected = token_means(logps.chosen, logps.rejected, logps)
    return (recipe.options.get("gamma", REPO_GAMMA) - (chosen - rejected)).clamp(min=0)


@named("alpha-dpo", needs_statistics=True)
def alpha_dpo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """AlphaDPO, arXiv 2410.10148: SimPO with a target margin for each pair, gamma + alpha z, without gradient.

    z is the pair's margin in log-ratios a token, less the mean over its optimizer step, over the deviation there: a
    pair that has moved further from the reference must go further. The authors keep moving averages of the two; those
    of the step itself are the same for a resumed run. A deviation below 0.001 nats a token counts as that, so that
    the first step, where policy and reference are equal, is not decided by rounding. Options: alpha (default 0.2),
    gamma_beta_ratio (gamma over beta, default 0.6); the target is times beta.
    """
    assert logps.statistics is not None, "alpha-dpo needs the step's statistics"
    chosen, rejected = token_means(logps.chosen, logps.rejected, logps)
    deviation = mean_margins(logps) - logps.statistics.margin_mean
    z = (deviation / logps.statistics.margin_std.clamp(min=LEAST_STD)).detach()
    gamma = recipe.options.get("gamma_beta_ratio", ALPHA_DPO_GAMMA_BETA_RATIO)
    target = gamma + recipe.options.get("alpha", ALPHA_DPO_ALPHA) * z
    return logistic(recipe.beta * (chosen - rejected - target), recipe.label_smoothing)
