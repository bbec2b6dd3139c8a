"""What the server of tests/forked.py does before it forks: what every command does once in its process.

Whatever is missing here a forked process does itself, like any other: this is about time alone.
"""

from __future__ import annotations

import gc
import importlib
import sys

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

from ropo_bench.store.source import sources  # noqa: E402
from ropo_bench.training.core import elementwise  # noqa: E402

elementwise.library()  # compiled in every process that trains
# A process reads its own code once, for the keys of its stages.
sources([name for name in sys.modules if name.startswith("ropo_bench.")])
# What is here stays: no collection of a fork looks at it, nor copies its pages.
gc.collect()
gc.freeze()
