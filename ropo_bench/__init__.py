"""ropo-bench: which preference-optimisation method is better, by how much, and whether to believe it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ropo_bench.adapters import RopoConfig as RopoConfig

__version__ = "0.1.0"
__all__ = ["RopoConfig", "__version__"]


def __getattr__(name: str) -> Any:
    """Import RopoConfig (and with it torch and peft) only when it is touched; that registers RoPO in PEFT."""
    if name == "RopoConfig":
        from ropo_bench.adapters import RopoConfig

        return RopoConfig
    raise AttributeError(f"module 'ropo_bench' has no attribute {name!r}")
