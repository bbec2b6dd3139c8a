"""Claims about a run, checked: a file of sentences, what the run's scores say of each, and with which numbers."""

from __future__ import annotations

from ropo_bench.claims.check import Decided, decide_claims
from ropo_bench.claims.reading import read_claims
from ropo_bench.claims.rule import exit_code

__all__ = ["Decided", "decide_claims", "exit_code", "read_claims"]
