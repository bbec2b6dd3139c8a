"""A child that does as its spec says."""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks._alternate import child


def run(spec: dict[str, Any]) -> dict[str, Any]:
    time.sleep(spec.get("sleep", 0.0))
    if "fail" in spec:
        print("words before the end")
        raise MemoryError(spec["fail"])
    return {
        "value": spec["value"],
        "threads": os.environ["OMP_NUM_THREADS"],
        "gpus": os.environ["CUDA_VISIBLE_DEVICES"],
    }


if __name__ == "__main__":
    child(run)
