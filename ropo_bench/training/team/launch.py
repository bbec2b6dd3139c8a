"""Starting a team: one worker process a device for the stages that train, while everything else stays one process.

`ropo-bench run --processes N` asks for it. Under `accelerate launch` or torchrun the command is started N times:
the first process goes on alone and starts a team of N itself, with the launcher's settings; the others end at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropo_bench import errors
from ropo_bench.errors import InternalError, MethodFailed, RopoBenchError, UsageError

if TYPE_CHECKING:
    from ropo_bench.training.team.job import Job

WORKER = "ropo_bench.training.team.worker"
PACKAGE_ROOT = Path(__file__).parents[3]
FAREWELL_SECONDS = 10.0
PROCESSES = "ROPO_BENCH_PROCESSES"
# What launchers tell their processes: the command is none of theirs, and neither is a team that it starts.
_PLACES = ("RANK", "WORLD_SIZE")
_NUMBERS = {"WORLD_SIZE": "1", "RANK": "0", "GROUP_WORLD_SIZE": "1"}
_LAUNCHERS = {
    *_PLACES,
    *(f"{of}_{what}" for of in ("LOCAL", "GROUP", "ROLE") for what in _PLACES),
    *("MASTER_ADDR", "MASTER_PORT", "ROLE_NAME"),
}


@dataclass(frozen=True, slots=True)
class Launch:
    """How many processes train together, and whether the model is sharded over them (FSDP2) or copied to each.

    gradient_checkpointing: in place of the recipe's, which it equals in its numbers; None keeps the recipe's.
    methods: launches of their own, by the name of the method; the reference pass and the others have this one.
    """

    num_processes: int = 1
    shard: bool = False
    gradient_checkpointing: bool | None = None
    methods: Mapping[str, Launch] = field(default_factory=dict)

    def of(self, job: Job) -> Launch:
        """The launch of a job."""
        return self if job.method is None else self.methods.get(job.method.name, self)


ALONE = Launch()


def asked_launch(processes: int | None, shard: bool) -> Launch | None:
    """What a command line asks for; None where it says nothing. --shard alone is one process, as it ever was."""
    return None if processes is None and not shard else Launch(processes or 1, shard)


def adopt(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Whether this process goes on: False for all but the first of those that a launcher started.

    The first forgets the launcher, all but how many processes it was asked for (in PROCESSES) and the settings of
    accelerate, which its workers inherit. Raises UsageError for more than one machine.
    """
    try:
        count, rank, machines = (int(environment.get(name, default)) for name, default in _NUMBERS.items())
    except ValueError:
        names = ", ".join(_NUMBERS)
        raise UsageError(f"environment: {names} are a launcher's, and must be whole numbers; unset them") from None
    if count == 1:
        return True
    if rank > 0:
        return False
    if machines > 1:
        raise UsageError("ropo-bench: launched on several machines; only one is supported, start it there alone")
    environment.setdefault(PROCESSES, str(count))
    for name in [name for name in environment if _is_launchers(name)]:
        del environment[name]
    return True


def _is_launchers(name: str) -> bool:
    return name in _LAUNCHERS or name.startswith("TORCHELASTIC_")


def run(job: Job, launch: Launch, on_step: Callable[[int, int], None]) -> None:
    """Do a job in this process, or by a team; on_step(steps or pairs done, tokens).

    Raises what a worker raised; MethodFailed where one died. When one ends badly the others are ended, too.
    """
    launch = launch.of(job)
    job = _as_launched(job, launch)
    if launch.num_processes == 1:
        from ropo_bench.training.work import run as run_here

        run_here(job, on_step)
        return
    with tempfile.TemporaryDirectory(prefix="ropo-bench-train-") as logs:
        workers = _Workers(job, launch, Path(logs))
        try:
            workers.watch(on_step)
        finally:
            workers.end()


def _as_launched(job: Job, launch: Launch) -> Job:
    """The job with the launch's gradient checkpointing; keys hold the recipe as it was asked for."""
    if launch.gradient_checkpointing is None or job.method is None:
        return job
    train = job.method.train.model_copy(update={"gradient_checkpointing": launch.gradient_checkpointing})
    return job.model_copy(update={"train": train, "method": job.method.model_copy(update={"train": train})})


class _Workers:
    """The worker processes of a team; what each tells comes to `inbox` as (rank, message), None when it is gone."""

    def __init__(self, job: Job, launch: Launch, logs: Path) -> None:
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        self.logs = logs
        self.inbox: queue.SimpleQueue[tuple[int, dict[str, Any] | None]] = queue.SimpleQueue()
        # Their meeting point is held here: a port that is free when it is chosen may be taken a moment later.
        self.store = TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
        self.workers: list[subprocess.Popen[str]] = []
        for rank in range(launch.num_processes):
            self.workers.append(self._start(rank, launch, job.model_dump_json()))

    def _start(self, rank: int, launch: Launch, job: str) -> subprocess.Popen[str]:
        with (self.logs / str(rank)).open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-P", "-m", WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=worker_environment(rank, launch, self.store.port),
                text=True,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        threading.Thread(target=self._listen, args=(rank, worker), daemon=True).start()
        assert worker.stdin is not None
        with contextlib.suppress(OSError):  # it died at once: watch() says so
            worker.stdin.write(job + "\n")
            worker.stdin.flush()
        return worker

    def _listen(self, rank: int, worker: subprocess.Popen[str]) -> None:
        assert worker.stdout is not None
        with contextlib.suppress(ValueError):  # half a line of a killed process
            for line in worker.stdout:
                self.inbox.put((rank, json.loads(line)))
        self.inbox.put((rank, None))

    def watch(self, on_step: Callable[[int, int], None]) -> None:
        """Pass on what is told until all have ended well; raises for the first that did not."""
        working = set(range(len(self.workers)))
        failed: list[int] = []
        failure: dict[str, Any] | None = None
        deadline: float | None = None
        while working:
            try:
                rank, message = self.inbox.get(timeout=None if deadline is None else deadline - time.monotonic())
            except (queue.Empty, ValueError):  # the others wait for the one that failed
                break
            if message is None:
                working.discard(rank)
                if self.workers[rank].wait() != 0:
                    failed.append(rank)
                    deadline = deadline or time.monotonic() + FAREWELL_SECONDS
            elif message.get("error") == InternalError.__name__:  # perhaps no more than the loss of another
                failure = failure or message
                deadline = deadline or time.monotonic() + FAREWELL_SECONDS
            elif "error" in message:
                raise error_told(message)
            else:
                on_step(message["step"], message["tokens"])
        # One that was killed is the cause; the others lost it and failed.
        cause = min(failed, key=lambda rank: self.workers[rank].returncode, default=None)
        if failure is not None and (cause is None or self.workers[cause].returncode >= 0):
            raise error_told(failure)
        if cause is not None:
            raise self._error_of_dead_worker(cause)

    def _error_of_dead_worker(self, rank: int) -> MethodFailed:
        code = self.workers[rank].returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        lines = [line.strip() for line in (self.logs / str(rank)).read_text(errors="replace").splitlines()]
        last = next((line for line in reversed(lines) if line), "it left no message")
        who = f"process {rank + 1} of {len(self.workers)}"
        return MethodFailed(f"training: {who} {how}: {last[:300]}; mend that and repeat the command")

    def end(self) -> None:
        """End every process that still runs."""
        for worker in self.workers:
            assert worker.stdin is not None
            with contextlib.suppress(OSError):
                worker.stdin.close()
        for worker in self.workers:
            try:
                worker.wait(FAREWELL_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def worker_environment(rank: int, launch: Launch, port: int) -> dict[str, str]:
    """The environment of one worker of a team on this machine, which meets at a port of it."""
    count = launch.num_processes
    environment = {name: value for name, value in os.environ.items() if not _is_launchers(name)}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    if sys.platform == "linux":
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the machine's name need not lead to an address of it
    return environment | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(PACKAGE_ROOT), *filter(None, sys.path)])),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is there already
        **({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"} if launch.shard else {}),
    }


def error_told(message: Mapping[str, str]) -> RopoBenchError:
    """The error that a worker told of, as {"error": its class, "message"}."""
    kind = getattr(errors, message["error"], MethodFailed)
    error: RopoBenchError = kind(message["message"])
    return error
