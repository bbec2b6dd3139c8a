"""How fast judges are asked: python benchmarks/judge_throughput.py [--json]

805 comparisons of the size of AlpacaEval 2's against a healthy local endpoint (a process of its own), at several
latencies, limits and paces. The bar: at least 90 % of min(rate limit, concurrency limit / latency) after warm-up,
which is the first two round trips at full concurrency. Seconds of CPU are those of the asking process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ropo_bench.judging.ledger import Budget, Tally
from ropo_bench.judging.runtime import answer_calls
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.types import JudgeCall, Message

ROOT = Path(__file__).parent.parent
SERVER = "tests.judging.judge_server"
NUM_CALLS = 805
PARAMS = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 5}
# latency in seconds, requests in flight, requests a minute
SETTINGS = ((0.2, 64, None), (0.5, 64, None), (0.2, 16, None), (0.2, 64, 6000), (0.2, 64, 1800))


@contextmanager
def server(latency: float) -> Iterator[str]:
    """The tests' server in a process of its own; yields its URL."""
    command = [sys.executable, "-m", SERVER, "--latency", str(latency)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate(timeout=10)


def calls() -> list[JudgeCall]:
    """Questions of about 3,600 characters, all different."""
    system = Message(role="system", content="You compare two answers. " * 8)
    text = "an answer in words " * 180
    return [
        JudgeCall(str(i), (system, Message(role="user", content=f"{i} {text}")), PARAMS) for i in range(NUM_CALLS)
    ]


def measure(latency: float, max_concurrency: int, requests_per_minute: int | None) -> dict[str, Any]:
    """One setting: requests a second after warm-up, and their share of what the limits allow."""
    answered_at: list[float] = []

    def report(tally: Tally) -> None:
        if tally.answered > len(answered_at):
            answered_at.append(time.monotonic())

    with server(latency) as url, tempfile.TemporaryDirectory() as folder:
        judge = JudgeRecipe(
            name="throughput",
            description="a local endpoint",
            model="judge",
            base_url=url,
            key_env=None,
            max_concurrency=max_concurrency,
            requests_per_minute=requests_per_minute,
        )
        cpu = time.process_time()
        outcome = answer_calls(judge, calls(), Path(folder), Budget(), report=report)
        cpu = time.process_time() - cpu
    assert len(outcome.answers) == NUM_CALLS
    allowed = min(max_concurrency / latency, (requests_per_minute or float("inf")) / 60)
    warm = 2 * max_concurrency
    rate = (NUM_CALLS - warm) / (answered_at[-1] - answered_at[warm - 1])
    return {
        "latency_seconds": latency,
        "max_concurrency": max_concurrency,
        "requests_per_minute": requests_per_minute,
        "allowed_per_second": allowed,
        "reached_per_second": rate,
        "share": rate / allowed,
        "share_with_warm_up": NUM_CALLS / outcome.tally.seconds / allowed,
        "cpu_ms_per_call": 1000 * cpu / NUM_CALLS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    as_json = parser.parse_args().json
    rows = [measure(*setting) for setting in SETTINGS]
    if as_json:
        print(json.dumps({"schema": 1, "num_calls": NUM_CALLS, "rows": rows}, indent=1))
        return
    print("| latency s | in flight | a minute | allowed /s | reached /s | share | with warm-up | CPU ms a call |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row['latency_seconds']:g} | {row['max_concurrency']} | {row['requests_per_minute'] or '–'} "
            f"| {row['allowed_per_second']:.1f} | {row['reached_per_second']:.1f} | {row['share']:.1%} "
            f"| {row['share_with_warm_up']:.1%} | {row['cpu_ms_per_call']:.2f} |"
        )


if __name__ == "__main__":
    main()
