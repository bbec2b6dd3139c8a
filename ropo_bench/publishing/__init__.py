"""Results that anybody can check: what of a finished run is published, and how it is derived again.

A result is a folder. manifest.json names its files with their sha256; recipe.json is the request, fully resolved;
provenance.json says what made it; training.csv and certificates.json have a line and an entry a trained model;
scores.jsonl.gz has one number an item; table.json (cells, comparisons) and table.md follow from the scores alone. No
weights, no prompts, no answers, no paths of the machine that made it.
"""

from __future__ import annotations

from ropo_bench.publishing.publish import Published, publish
from ropo_bench.publishing.verify import Verdict, read_table, results_in, verify

__all__ = ["Published", "Verdict", "publish", "read_table", "results_in", "verify"]
