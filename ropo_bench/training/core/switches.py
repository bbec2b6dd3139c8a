"""The switches of the core on a model: what makes its passes fast while it trains or is a reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ropo_bench.adapters.ropo import kernels
from ropo_bench.recipes.method import CoreRecipe
from ropo_bench.training.core import layers
from ropo_bench.training.core.compiling import compile_layers, forget_compiled


@contextmanager
def switched(model: nn.Module, core: CoreRecipe) -> Iterator[None]:
    """Within it the model computes as `core` says; afterwards its modules are as they were. Not to be nested."""
    kernels.enable(core.kernels)
    if core.kernels:
        layers.install(model)
    if core.compile:
        compile_layers(model)
    try:
        yield
    finally:
        layers.remove(model)
        if core.compile:
            forget_compiled(model)
        kernels.enable(True)
