"""Memory and time of log-probabilities from hidden states: python benchmarks/head_memory.py [--large] [--json]

One forward and backward through a head that is frozen or trained, in four ways: full logits (naive), checkpointed
chunks of tokens (generic), the fused head, and TRL's chunked head where TRL is installed. Every measurement is a
process of its own; the ways take turns, three rounds. Memory is the peak above the inputs (hidden states and
weights) of the first pass: of the GPU where there is one, else of the resident set. A trained weight's gradient is
in the peak and also reported apart. --large: only the fused head, frozen, at 4,096 tokens, 4096 wide, 128,256
entries (needs 3 GB); its bar is under 10 % of naive fp32 logits.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

WAYS = ("naive", "generic", "fused", "trl")
ROUNDS = 3
MIB = 2**20
BAR = 0.1


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured; dtype: of the matrix products, by autocast; the first pass tells memory, the last time."""

    way: str
    trained: bool
    num_tokens: int
    width: int
    vocabulary: int
    dtype: str
    num_passes: int = 2


def grid() -> list[Case]:
    """Tokens and vocabulary in turn."""
    ways = [way for way in WAYS if way != "trl" or find_spec("trl")]
    settings = [
        (512, 32_000, "float32"), (2048, 32_000, "float32"), (512, 128_256, "float32"), (512, 32_000, "bfloat16"),
    ]  # fmt: skip
    return [
        Case(way, trained, num_tokens, 768, vocabulary, dtype)
        for num_tokens, vocabulary, dtype in settings
        for trained in (False, True)
        for way in ways
    ]


def measure(case: Case) -> dict[str, float]:
    """In this process: peak bytes above the inputs, and seconds."""
    import torch

    from ropo_bench.training.loop import peak_memory_bytes, reset_peak_memory

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    logps = _way(case.way)

    def problem(num_tokens: int, width: int, vocabulary: int) -> Callable[[], None]:
        head = torch.nn.Linear(width, vocabulary, bias=False, device=device).requires_grad_(case.trained)
        hidden = torch.randn(num_tokens, width, device=device, requires_grad=True)
        target = torch.randint(vocabulary, (num_tokens,), device=device)
        grad = torch.randn(num_tokens, device=device)

        def run() -> None:
            hidden.grad = head.weight.grad = None
            with torch.autocast(device.type, torch.bfloat16, case.dtype == "bfloat16"):
                result = logps(hidden, head, target)
            result.backward(grad)
            if device.type == "cuda":
                torch.cuda.synchronize()

        return run

    problem(16, 32, 64)()  # what libraries allocate once is no one's
    run = problem(case.num_tokens, case.width, case.vocabulary)
    reset_peak_memory()
    inputs = peak_memory_bytes()
    peaks, seconds = [], 0.0
    for _ in range(case.num_passes):
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
        peaks.append(peak_memory_bytes())
    assert inputs is not None, "peak memory is measured on Linux or a GPU"
    return {"peak_bytes": peaks[0] - inputs, "seconds": seconds}


def _way(name: str) -> Callable[[Any, Any, Any], Any]:
    """(hidden, head, target) -> log-probabilities."""
    if name == "trl":
        from trl.kernels import ChunkedLogProbFunction
        from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

        return lambda hidden, head, target: ChunkedLogProbFunction.apply(
            hidden, head.weight, head.bias, target, 1.0, _CHUNKED_LOGPROB_CHUNK_SIZE, None, 1.0, ("log_probs",)
        )[0]
    from ropo_bench.training.core.head import head_logps
    from ropo_bench.training.core.logit_change import LogitChange

    def logps(hidden: Any, head: Any, target: Any) -> Any:
        if name == "generic":
            head.register_forward_hook(lambda *_: None)  # no longer a plain nn.Linear
        return head_logps(hidden, head, target, LogitChange(), name != "naive")

    return logps


def in_a_child(case: Case) -> dict[str, float]:
    """The measurement in a fresh process."""
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case))]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def table(cases: list[Case], rounds: int) -> list[dict[str, Any]]:
    """One row a case: medians over the rounds, with the spread of the seconds."""
    found: dict[Case, list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            found[case].append(in_a_child(case))
    rows = []
    for case, results in found.items():
        seconds = [result["seconds"] for result in results]
        peak = statistics.median(result["peak_bytes"] for result in results)
        rows.append(
            {
                **asdict(case),
                "peak_bytes": peak,
                "gradient_bytes": 4 * case.width * case.vocabulary if case.trained else 0,
                "share_of_logits": peak / (4 * case.num_tokens * case.vocabulary),
                "seconds": statistics.median(seconds),
                "seconds_spread": [min(seconds), max(seconds)],
            }
        )
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    lines = [
        "| tokens | width | vocabulary | dtype | head | way | peak MiB | of it gradient | of fp32 logits "
        "| seconds (spread) |",
        "|---:|---:|---:|---|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        low, high = row["seconds_spread"]
        lines.append(
            f"| {row['num_tokens']:,} | {row['width']} | {row['vocabulary']:,} | {row['dtype']} "
            f"| {'trained' if row['trained'] else 'frozen'} | {row['way']} | {row['peak_bytes'] / MIB:,.0f} "
            f"| {row['gradient_bytes'] / MIB:,.0f} | {row['share_of_logits']:.1%} "
            f"| {row['seconds']:.2f} ({low:.2f} to {high:.2f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table; with --large exit 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="the one large case and its bar")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(Case(**json.loads(options.case)))))
        return
    large = [Case("fused", False, 4096, 4096, 128_256, "float32", num_passes=1)]
    rows = table(large, 1) if options.large else table(grid(), ROUNDS)
    holds = not options.large or rows[0]["share_of_logits"] < BAR
    if options.json:
        print(json.dumps({"schema": 1, "rows": rows, "holds": holds}, indent=1))
    else:
        print(markdown(rows))
    raise SystemExit(0 if holds else 1)


if __name__ == "__main__":
    main()
