"""What both sides measure in the same way: seconds of each step, peak memory above the loaded model."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import torch

from ropo_bench.training.loop import peak_memory_bytes, reset_peak_memory


class Meter:
    """Made when the model is loaded; `tick` ends a step, `report` gives everything as JSON."""

    def __init__(self) -> None:
        gc.collect()
        self.model_bytes = _memory_bytes()
        reset_peak_memory()
        self.highest = 0
        self.began = time.perf_counter()
        self.ticks: list[float] = []

    def keep_peak(self) -> None:
        """Remember the peak so far: the training loop begins a measurement of its own."""
        self.highest = max(self.highest, peak_memory_bytes() or 0)

    def tick(self) -> None:
        """The end of an optimizer step."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ticks.append(time.perf_counter())

    def report(self) -> dict[str, Any]:
        """step_seconds: of all steps but the first. work_seconds: everything after the model was loaded."""
        work = time.perf_counter() - self.began
        self.keep_peak()
        return {
            "step_seconds": [b - a for a, b in zip(self.ticks, self.ticks[1:], strict=False)],
            "work_seconds": work,
            "model_bytes": self.model_bytes,
            "peak_bytes_above_model": self.highest - self.model_bytes,
        }


def _memory_bytes() -> int:
    """What is in use now: of the GPU, or the resident set of this process (Linux)."""
    if torch.cuda.is_available():
        return int(torch.cuda.memory_allocated())
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
