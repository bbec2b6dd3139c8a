"""Trials one after another in this process, or several at a time in processes of our own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path

from ropo_bench.errors import StorageError
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.provenance import hardware
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress
from ropo_bench.tuning.trials import Outcome, Trial, run_trial

_bench: Bench | None = None
"""Of a worker process."""


def run_trials(bench: Bench, task: TaskRecipe, trials: Sequence[Trial], workers: int) -> Iterator[Outcome]:
    """The outcomes of all trials as they come, which is not their order where workers is more than 1.

    Workers share the store and the cores: each has its part of the threads. What is left of them when the caller
    stops is stopped with it. Raises StorageError where a worker dies.
    """
    if workers == 1:
        for trial in trials:
            yield run_trial(bench, task, trial)
        return
    executor = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(bench.store.root, bench.suite, max(1, hardware()["cores"] // workers)),
    )
    try:
        futures = [executor.submit(_try, task, trial) for trial in trials]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise StorageError(
            "tune: a worker was killed, perhaps for want of memory; repeat the command with fewer --workers"
        ) from None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _begin(root: Path, suite: SuiteRecipe, threads: int) -> None:
    """Make a worker ready: its threads, silence, and Ctrl-C left to the process that began it."""
    global _bench  # noqa: PLW0603
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is loaded
    quiet = Progress(Path(os.devnull).open("w"))  # noqa: SIM115 (for the worker's life)
    _bench = Bench(Store(root), suite, quiet)


def _try(task: TaskRecipe, trial: Trial) -> Outcome:
    assert _bench is not None
    return run_trial(_bench, task, trial)


def _end_with_parent() -> None:
    """End this process when the one that began it has gone without a word."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
