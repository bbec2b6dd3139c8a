"""Parts that fail in ways that nobody foresaw, named in recipes as module:object."""

from __future__ import annotations

import os
import sys
from typing import Any

from ropo_bench.losses import Loss


def leaking_grade(prompt: Any, turns: Any) -> Any:
    """A grader whose error holds what must not be spread."""
    raise LookupError(f"the server said no to {os.environ['FAULTY_API_KEY']}\nand more")


def _broken(logps: Any, recipe: Any) -> Any:
    raise KeyError("logps")


def _leaving(logps: Any, recipe: Any) -> Any:
    sys.exit(1)  # as some libraries do, with the code of a regression


def _without_memory(logps: Any, recipe: Any) -> Any:
    raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB.")


broken = Loss(_broken, uses_reference=False)
leaving = Loss(_leaving, uses_reference=False)
without_memory = Loss(_without_memory, uses_reference=False)
