"""What is minimised: preference losses, pure functions of log-probabilities that give one loss a pair.

A file is a family. A new loss is one function with `@named("...")` in the file of its family, its facts in
`recipes/losses.py`, and a recipe in `methods/` that names it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ropo_bench.errors import UsageError
from ropo_bench.losses import absolute, divergence, dpo, likelihood, target
from ropo_bench.losses.loss import (
    Loss,
    PairLogps,
    StepStatistics,
    TwoTensors,
    estimate_kl,
    logp_rewards,
    logratio_rewards,
    logratios,
    mean_margins,
)
from ropo_bench.losses.registry import LOSSES
from ropo_bench.recipes.method import LossRecipe
from ropo_bench.recipes.objects import resolve_object

__all__ = [
    "LOSSES",
    "Loss",
    "PairLogps",
    "StepStatistics",
    "TwoTensors",
    "absolute",
    "divergence",
    "dpo",
    "estimate_kl",
    "likelihood",
    "logp_rewards",
    "logratio_rewards",
    "logratios",
    "mean_margins",
    "metrics",
    "resolve_loss",
    "target",
]


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
