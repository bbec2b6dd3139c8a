"""The two sides as jobs: our core, and TRL's DPOTrainer with PEFT, on one workload."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._alternate import Job, Outcome, run_child

MICRO_BATCH_SIZE = 4


@dataclass(frozen=True, slots=True)
class Sides:
    """Makes jobs on the workload in `folder` with the options of the command line, and runs them."""

    folder: Path
    options: argparse.Namespace

    def ours(self, method: str, label: str = "core", **extra: Any) -> Job:
        """One method in our core; extra: see `_core.run`. The name is `ours METHOD LABEL`."""
        return Job(f"ours {method} {label}", "benchmarks._core", self._spec(method) | extra)

    def trl(
        self, method: str, configuration: str, size: int = MICRO_BATCH_SIZE, label: str = "", **extra: Any
    ) -> Job:
        """One method in TRL; size: its micro-batch; extra: see `_peers.run`.

        The name is `TRL METHOD CONFIGURATION SIZE [LABEL]`.
        """
        name = " ".join(["TRL", method, configuration, str(size), *([label] if label else [])])
        rows = str(self.folder / name.replace(" ", "-"))
        own = {"configuration": configuration, "micro_batch_size": size, "rows": rows}
        return Job(name, "benchmarks._peers", self._spec(method) | own | extra)

    def _spec(self, method: str) -> dict[str, Any]:
        options = self.options
        return {
            "workload": str(self.folder),
            "method": method,
            "seed": 0,
            "steps": options.steps,
            "micro_batch_size": MICRO_BATCH_SIZE,
            "dtype": options.dtype,
            # On a GPU the frozen weights have the dtype of the products; on a CPU both sides keep them in fp32.
            "weights": options.dtype if options.device == "cuda" else "float32",
            "device": options.device,
            "threads": options.threads,
        }

    def run(self, job: Job) -> Outcome:
        """One child to its end."""
        return run_child(job, self.folder, self.options.threads, self.options.device, self.options.timeout)
