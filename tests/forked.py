"""Processes of their own that start warm: real ones, with pid, signals, folder and environment, but forked from a
server that has imported torch and transformers already, which takes a fresh process seconds each time.

Where imports, or what happens before them, are what is tested, a fresh process is started with subprocess instead.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
# What libraries read as they are imported. One thread: those of a pool would not live in a fork.
SERVER = {
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "TRITON_INTERPRET": "0",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # the other check leaves a CUDA that a fork cannot use
}


class Forked:
    """What subprocess.Popen is, of a script as `python -c` takes it."""

    def __init__(self, script: str, arguments: list[str], cwd: Path, environment: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.forked_imports"])
        with patch.dict(os.environ, SERVER):
            forkserver.ensure_running()
        (out, child_out), (err, child_err) = context.Pipe(duplex=False), context.Pipe(duplex=False)
        given = (script, arguments, str(cwd), dict(environment), child_out, child_err)
        self._process: Any = context.Process(target=_child, args=given)
        self._process.start()
        self.pid: int = self._process.pid
        self.stdout, self.stderr = (os.fdopen(os.dup(end.fileno())) for end in (out, err))
        for end in (out, err, child_out, child_err):
            end.close()

    @property
    def returncode(self) -> int | None:
        """Its exit code, or minus the signal that killed it; None while it runs."""
        code: int | None = self._process.exitcode
        return code

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it wrote, when it has ended; it is killed where it has not within `timeout` seconds."""
        with self.stdout, self.stderr, ThreadPoolExecutor(2) as readers:
            texts = [readers.submit(end.read) for end in (self.stdout, self.stderr)]
            self._process.join(timeout)
            if self.poll() is None:
                self.kill()
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            out, err = (text.result() for text in texts)
        return out, err


Process = subprocess.Popen[str] | Forked


def python(script: str, *arguments: str, cwd: Path | None = None, **environment: str) -> Process:
    """Start `python -c script arguments`, with this process's environment and what is given beside it."""
    cwd, environment = cwd or Path.cwd(), {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    # Frameworks of macOS start threads as they are imported: there nothing is forked.
    if sys.platform == "linux":
        return Forked(script, list(arguments), cwd, environment)
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _child(
    script: str, arguments: list[str], cwd: str, environment: dict[str, str], out: Connection, err: Connection
) -> None:
    for end, number in ((out, 1), (err, 2)):
        os.dup2(end.fileno(), number)
        end.close()
    # The old streams remember what kind of file was behind the numbers.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["-c", *arguments]
    exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})
