"""The worker processes of rows side by side: each makes one block of stages on slots that are its own.

A worker leads a process group, sees the devices of its slots only, and ends with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ropo_bench.errors import MethodFailed
from ropo_bench.stages.parallel.order import Order
from ropo_bench.stages.parallel.schedule import DEVICE, Block
from ropo_bench.terminal.progress import Progress
from ropo_bench.training.team.launch import PACKAGE_ROOT, Launch, error_told

if TYPE_CHECKING:
    from ropo_bench.judging.ledger import Budget

WORKER = "ropo_bench.stages.parallel.worker"
FAREWELL_SECONDS = 5.0
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass
class Crew:
    """Workers for one order after another.

    order: all but the nodes. devices: of every slot, as CUDA_VISIBLE_DEVICES names them; empty where there are none.
    launches: of blocks that train, by the block's name. threads: of each worker, unless the user's OMP_NUM_THREADS
    says it. budget: what judges may spend, counted down here: they are asked by one worker at a time.
    """

    order: Order
    progress: Progress
    devices: Sequence[Sequence[str]]
    launches: Mapping[str, Launch]
    threads: int
    budget: Budget | None = None
    workers: set[subprocess.Popen[str]] = field(default_factory=set)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in list(self.workers):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGTERM if error is None else signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(FAREWELL_SECONDS)

    def work(self, block: Block, slots: tuple[int, ...], told: Callable[[str], None]) -> None:
        """Make a block in a process of its own; raises what it raised, MethodFailed where it died."""
        launch = self.launches.get(block.name, Launch())
        changes: dict[str, Any] = {
            "nodes": list(block.nodes),
            "processes": launch.num_processes,
            "shard": launch.shard,
            "gradient_checkpointing": launch.gradient_checkpointing,
        }
        if self.budget is not None:
            changes |= {"calls": self.budget.calls, "usd": self.budget.usd}
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment(block, slots),
            text=True,
            start_new_session=True,  # Ctrl-C is this process's to handle
        )
        self.workers.add(worker)
        try:
            self._hear(worker, self.order.model_copy(update=changes), block, told)
        finally:
            self.workers.discard(worker)

    def _environment(self, block: Block, slots: tuple[int, ...]) -> dict[str, str]:
        environment = dict(os.environ)
        environment.setdefault("OMP_NUM_THREADS", str(self.threads))
        if self.devices:
            own = [name for slot in slots for name in self.devices[slot]] if block.place == DEVICE else []
            environment[VISIBLE] = ",".join(own)
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(PACKAGE_ROOT), *filter(None, sys.path)]))
        return environment

    def _hear(self, worker: subprocess.Popen[str], order: Order, block: Block, told: Callable[[str], None]) -> None:
        assert worker.stdin is not None
        assert worker.stdout is not None
        last: list[str] = []
        relay = threading.Thread(target=self._relay, args=(worker, last), daemon=True)
        relay.start()
        with contextlib.suppress(OSError):  # it died at once, which is seen below
            worker.stdin.write(order.model_dump_json() + "\n")
            worker.stdin.flush()
        failure: dict[str, str] | None = None
        with contextlib.suppress(ValueError):  # half a line of a killed process
            for line in worker.stdout:
                message = json.loads(line)
                if "made" in message:
                    told(message["made"])
                elif "error" in message:
                    failure = message
                elif self.budget is not None:
                    self._pay(message["calls"], message["usd"])
        _end_group(worker)  # whatever it left behind
        code = worker.wait()
        relay.join(FAREWELL_SECONDS)
        if failure is not None:
            raise error_told(failure)
        if code != 0:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            words = last[-1] if last else "it left no message"
            raise MethodFailed(f"{block.name}: its process {how}: {words[:300]}; mend that and repeat the command")

    def _relay(self, worker: subprocess.Popen[str], last: list[str]) -> None:
        """Pass on what a worker says of its progress."""
        assert worker.stderr is not None
        for line in worker.stderr:
            if line.strip():
                last[:] = [line.rstrip()]
                self.progress.note(line.rstrip())

    def _pay(self, calls: int, usd: float) -> None:
        budget = self.budget
        assert budget is not None
        budget.spent_calls += calls
        budget.spent_usd += usd
        budget.calls = None if budget.calls is None else budget.calls - calls
        budget.usd = None if budget.usd is None else budget.usd - usd


def _end_group(worker: subprocess.Popen[str]) -> None:
    """Wait for the end of a worker, then end its group while its number is still its own."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.pid, signal.SIGKILL)
