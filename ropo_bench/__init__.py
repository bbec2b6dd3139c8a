"""ropo-bench: which preference-optimisation method is better, by how much, and whether to believe it.

From Python: `import ropo_bench as rb`, then `rb.run(methods=["ropo", "dpo"])` or `rb.open_run("NAME").table()`; see
ropo_bench.api. Nothing heavy is imported before a name is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ropo_bench.adapters import RopoConfig as RopoConfig
    from ropo_bench.api import FinishedRun as FinishedRun
    from ropo_bench.api import open_run as open_run
    from ropo_bench.api import run as run
    from ropo_bench.api import score_alpaca_eval as score_alpaca_eval
    from ropo_bench.losses import Loss as Loss
    from ropo_bench.losses import PairLogps as PairLogps
    from ropo_bench.recipes.load import load_method as load_method
    from ropo_bench.recipes.load import load_suite as load_suite
    from ropo_bench.recipes.load import load_task as load_task
    from ropo_bench.runs.provenance import __version__ as __version__
    from ropo_bench.statistics.sample import Sample as Sample
    from ropo_bench.types import Score as Score

_PLACES = {
    "__version__": "ropo_bench.runs.provenance",
    "run": "ropo_bench.api",
    "open_run": "ropo_bench.api",
    "FinishedRun": "ropo_bench.api",
    "score_alpaca_eval": "ropo_bench.api",
    "load_suite": "ropo_bench.recipes.load",
    "load_method": "ropo_bench.recipes.load",
    "load_task": "ropo_bench.recipes.load",
    "Loss": "ropo_bench.losses",
    "PairLogps": "ropo_bench.losses",
    "Score": "ropo_bench.types",
    "Sample": "ropo_bench.statistics.sample",
    "RopoConfig": "ropo_bench.adapters",
}
"""Name -> the module that it is taken from when it is first touched. RopoConfig registers RoPO in PEFT."""
__all__ = [*sorted(_PLACES)]  # noqa: PLE0604 (names of a table)


def __getattr__(name: str) -> Any:
    """Import what is asked for, and only then."""
    if name not in _PLACES:
        raise AttributeError(f"module 'ropo_bench' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
