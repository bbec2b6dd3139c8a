"""What the server of tests/forked.py imports before it forks: what the commands import when they run.

Whatever is missing here a forked process imports itself, like any other: this list is about time alone.
"""

from __future__ import annotations

import importlib

for name in (
    "accelerate",
    "openai.resources.chat",
    "pandas",
    "peft.utils.transformers_weight_conversion",
    "ropo_bench.adapters",
    "ropo_bench.commands.app",
    "ropo_bench.publishing.export",
    "ropo_bench.commands.run",
    "ropo_bench.commands.table",
    "ropo_bench.generation.hf_engine",
    "ropo_bench.judging.runtime",
    "ropo_bench.leaderboard",
    "ropo_bench.pipeline",
    "ropo_bench.scoring.alpaca_eval",
    "ropo_bench.scoring.length_control.refit",
    "ropo_bench.merging.certificate",
    "ropo_bench.training.work",
    "ropo_bench.merging.merge",
    "sklearn.linear_model",
    "torch",
    "transformers.models.llama.modeling_llama",
    "transformers.tokenization_utils_tokenizers",
):
    importlib.import_module(name)
