"""Squared distances to a target: IPO's of the margin, SPPO's of each answer's log-ratio."""

from __future__ import annotations

from torch import Tensor

from ropo_bench.losses.loss import PairLogps, logratios, token_means
from ropo_bench.losses.registry import named
from ropo_bench.recipes.method import LossRecipe


@named("ipo")
def ipo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """IPO, arXiv 2310.12036 Eq. 17 with tau = beta, on logratios averaged over completion tokens.

    The averaging is not in the equation; TRL has it from the paper's authors. label_smoothing is not read.
    """
    chosen, rejected = token_means(*logratios(logps), logps)
    return (chosen - rejected - 1 / (2 * recipe.beta)) ** 2


@named("sppo")
def sppo(logps: PairLogps, recipe: LossRecipe) -> Tensor:
    """SPPO, arXiv 2405.00675 Eq. 4.7, with the win probabilities of a pair hard: 1 for chosen, 0 for rejected.

    (logratio - eta (P - 1/2))^2 of both answers, eta = 1 / beta. The paper's P come from a preference model over
    samples of the policy, which pairs do not have. label_smoothing is not read.
    """
    chosen, rejected = logratios(logps)
    target = 1 / (2 * recipe.beta)
    return (chosen - target) ** 2 + (rejected + target) ** 2
