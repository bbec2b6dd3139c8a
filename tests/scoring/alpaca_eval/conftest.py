from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def assets() -> Path:
    """The mirror's folder of AlpacaEval 2; tests that need it skip where there is none."""
    mirror = os.environ.get("ROPO_BENCH_ASSETS")
    if not mirror:
        pytest.skip("ROPO_BENCH_ASSETS is not set")
    return Path(mirror, "alpaca_eval")
