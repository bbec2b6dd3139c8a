"""Losses that judge each answer against a fixed point, not against the other answer alone."""

from __future__ import annotations

import torch
from torch import Tensor

from ropo_bench.losses.loss import PairLogps, logistic, logratio_rewards
from ropo_bench.losses.registry import named
from ropo_bench.recipes.method import LossRecipe


@named("kto-pair", needs_kl=True)
def kto_pair(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """KTO on both completions of a pair, arXiv 2402.01306 Eq. 7 with both weights 1: the mean of the two.

    logps.kl is z_0 of the equation, in nats; no gradient flows through it. label_smoothing is not read.
    """
    assert logps.kl is not None, "kto-pair needs the step's KL estimate"
    chosen, rejected = logratio_rewards(logps, recipe)
    z0 = recipe.beta * logps.kl.detach()
    return (torch.sigmoid(z0 - chosen) + torch.sigmoid(rejected - z0)) / 2


@named("bco", needs_statistics=True)
def bco(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """BCO on pairs, arXiv 2404.04656: -log sigmoid(r_w - delta) - log sigmoid(-(r_l - delta)), r = beta logratio.

    delta, the paper's reward shift, is half the mean reward of chosen plus half that of rejected answers. The paper
    keeps a moving average; here it is the mean of the optimizer step, without gradient, so that a resumed run has the
    same one. label_smoothing is not read.
    """
    assert logps.statistics is not None, "bco needs the step's statistics"
    chosen, rejected = logratio_rewards(logps, recipe)
    delta = recipe.beta * logps.statistics.logratio_mean.detach()
    return logistic(chosen - delta) + logistic(delta - rejected)


@named("nca")
def nca(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """NCA on pairs, arXiv 2402.05369: -log sigmoid(r_w) - 1/2 log sigmoid(-r_w) - 1/2 log sigmoid(-r_l).

    r = beta logratio; the first term is the chosen answer against noise, the others are both answers as noise.
    label_smoothing is not read.
    """
    chosen, rejected = logratio_rewards(logps, recipe)
    return logistic(chosen) + logistic(-chosen) / 2 + logistic(-rejected) / 2


@named("apo-zero")
def apo_zero(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """APO-zero, arXiv 2408.06266 Eq. 7: 1 - sigmoid(r_w) + sigmoid(r_l), r = beta logratio.

    For answers that are better than the model's own: chosen ones become likelier. label_smoothing is not read.
    """
    chosen, rejected = logratio_rewards(logps, recipe)
    return torch.sigmoid(-chosen) + torch.sigmoid(rejected)


@named("apo-down")
def apo_down(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """APO-down, arXiv 2408.06266 Eq. 8: sigmoid(r_w) + 1 - sigmoid(r_w - r_l), r = beta logratio.

    For answers that are worse than the model's own: both become less likely, rejected ones more so. label_smoothing
    is not read.
    """
    chosen, rejected = logratio_rewards(logps, recipe)
    return torch.sigmoid(chosen) + torch.sigmoid(rejected - chosen)
