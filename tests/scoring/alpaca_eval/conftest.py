from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from ropo_bench.statistics import bootstrap_clusters


@pytest.fixture(scope="session")
def assets() -> Path:
    """The mirror's folder of AlpacaEval 2; tests that need it skip where there is none."""
    mirror = os.environ.get("ROPO_BENCH_ASSETS")
    if not mirror:
        pytest.skip("ROPO_BENCH_ASSETS is not set")
    return Path(mirror, "alpaca_eval")


@pytest.fixture
def few_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bootstrap of 8 refits instead of 200: for tests of values, which it does not change."""
    few = partial(bootstrap_clusters, replicates=8)
    monkeypatch.setattr("ropo_bench.scoring.length_control.bootstrap_clusters", few)
