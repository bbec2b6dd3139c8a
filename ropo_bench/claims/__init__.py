"""Claims about a run, checked: a file of sentences, what the run's scores say of each, and with which numbers."""

from __future__ import annotations

from ropo_bench.claims.check import Decided, decide_claims
from ropo_bench.claims.rule import exit_code
from ropo_bench.claims.sentences import read_claims

__all__ = ["Decided", "decide_claims", "exit_code", "read_claims"]
