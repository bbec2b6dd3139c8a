"""Claims about a run, checked: a file of sentences, what the run's scores say of each, and with which numbers."""

from __future__ import annotations

from ropo_bench.claims.deciding import Decided, decide_claims
from ropo_bench.claims.decision import exit_code
from ropo_bench.claims.reading import read_claims

__all__ = ["Decided", "decide_claims", "exit_code", "read_claims"]
