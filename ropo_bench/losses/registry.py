"""The losses by short name; a function enters itself with `@named` where it is written."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ropo_bench.losses.loss import Loss, PairLogps, TwoTensors
from ropo_bench.recipes.method import LossRecipe

Function = Callable[[PairLogps, LossRecipe], Tensor]

LOSSES: dict[str, Loss] = {}


def named(
    name: str,
    *,
    uses_reference: bool = True,
    needs_kl: bool = False,
    needs_statistics: bool = False,
    rewards: Callable[[PairLogps, LossRecipe], TwoTensors] | None = None,
) -> Callable[[Function], Function]:
    """Enter the function under this name; the rest is what `Loss` says."""

    def enter(function: Function) -> Function:
        assert name not in LOSSES, f"two losses are called {name}"
        LOSSES[name] = Loss(function, uses_reference, needs_kl, rewards, needs_statistics)
        return function

    return enter
