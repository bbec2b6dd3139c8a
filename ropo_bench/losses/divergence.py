"""Losses from other divergences than DPO's: f-DPO's family, and EXO, which turns the divergence round."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ropo_bench.losses.loss import (
    MAX_EXPONENT,
    PairLogps,
    TwoTensors,
    logistic,
    logratio_rewards,
    logratios,
)
from ropo_bench.losses.registry import named
from ropo_bench.recipes.method import LossRecipe

F_DPO_ALPHA = 0.5  # halfway between reverse KL (0) and forward KL (1)
EXO_EPSILON = 1e-3  # TRL's; the paper has a hard label smoothed by a small number


def _inverse_ratio(logratio: Tensor, power: float = 1.0) -> Tensor:
    """(policy / reference)^-power."""
    return torch.exp((-power * logratio).clamp(max=MAX_EXPONENT))


def js_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta f'(u) of the Jensen-Shannon divergence, f'(u) = log(2 u / (1 + u)), u = policy / reference."""
    chosen, rejected = logratios(logps)
    return recipe.beta * (math.log(2) + logsigmoid(chosen)), recipe.beta * (math.log(2) + logsigmoid(rejected))


def alpha_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta f'(u) of the alpha-divergence, f'(u) = (1 - u^-alpha) / alpha, u = policy / reference."""
    alpha = recipe.options.get("alpha", F_DPO_ALPHA)
    chosen, rejected = logratios(logps)
    scale = recipe.beta / alpha
    return scale * (1 - _inverse_ratio(chosen, alpha)), scale * (1 - _inverse_ratio(rejected, alpha))


def forward_kl_rewards(logps: PairLogps, recipe: LossRecipe) -> TwoTensors:
    """beta f'(u) of the forward KL divergence, up to a constant: f'(u) = 1 - 1 / u, u = policy / reference."""
    chosen, rejected = logratios(logps)
    return recipe.beta * (1 - _inverse_ratio(chosen)), recipe.beta * (1 - _inverse_ratio(rejected))


def _f_dpo(rewards: Callable[[PairLogps, LossRecipe], TwoTensors], logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """f-DPO, arXiv 2309.16240: -log sigmoid(beta f'(u of chosen) - beta f'(u of rejected)), f' of its Table 1."""
    chosen, rejected = rewards(logps, recipe)
    return logistic(chosen - rejected, recipe.label_smoothing)


@named("f-dpo-js", rewards=js_rewards)
def f_dpo_js(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """f-DPO with the Jensen-Shannon divergence, arXiv 2309.16240; see `js_rewards`."""
    return _f_dpo(js_rewards, logps, recipe)


@named("f-dpo-alpha", rewards=alpha_rewards)
def f_dpo_alpha(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """f-DPO with an alpha-divergence, arXiv 2309.16240; see `alpha_rewards`.

    Option: alpha in (0, 1), between reverse KL (DPO) and forward KL; default 0.5.
    """
    return _f_dpo(alpha_rewards, logps, recipe)


@named("f-dpo-kl", rewards=forward_kl_rewards)
def f_dpo_kl(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """f-DPO with the forward KL divergence, arXiv 2309.16240; see `forward_kl_rewards`."""
    return _f_dpo(forward_kl_rewards, logps, recipe)


@named("exo")
def exo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """EXO on pairs, arXiv 2402.00856 Eq. 16: KL(q || p), q = sigmoid of DPO's margin, p = (1 - epsilon, epsilon).

    DPO minimises KL(p || q). Option: epsilon, the label's share of the rejected answer, in (0, 0.5); default 1e-3.
    The loss is 0 at q = p and rises beyond. label_smoothing is not read.
    """
    chosen, rejected = logratio_rewards(logps, recipe)
    margin, epsilon = chosen - rejected, recipe.options.get("epsilon", EXO_EPSILON)
    prefers_chosen = torch.sigmoid(margin) * (logsigmoid(margin) - math.log1p(-epsilon))
    return prefers_chosen + torch.sigmoid(-margin) * (logsigmoid(-margin) - math.log(epsilon))
