"""The parent's end of a worker process: starting it, talking to it, and saying why it died."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ropo_bench.errors import MethodFailed

WORKER = "ropo_bench.generation.vllm_worker"
PACKAGE_ROOT = Path(__file__).parents[2]
FAREWELL_SECONDS = 20.0
TELLING = re.compile(r"^(?:\S*(?:Error|Exception|Exit)\b.*|.*\bERROR\b.*\] *\S*(?:Error|Exception)\b.*)")
# Of several processes of one engine, the first to fail knows why; the others say only this.
SEQUEL = "root cause"


class Worker:
    """One worker process; what it says arrives in `inbox` as (worker, message), message None when it is gone."""

    def __init__(
        self, name: str, arguments: Mapping[str, Any], environment: Mapping[str, str], inbox: queue.SimpleQueue[Any]
    ) -> None:
        self.name = name
        handle, path = tempfile.mkstemp(prefix="ropo-bench-vllm-", suffix=".log")
        self.log = Path(path)
        own = {"PYTHONPATH": os.pathsep.join([str(PACKAGE_ROOT), *_setting("PYTHONPATH")]), **environment}
        with os.fdopen(handle, "wb") as log:
            self.process = subprocess.Popen(
                # -P: a file of the user's named like a module must not take its place.
                [sys.executable, "-P", "-m", WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **own},
                text=True,
                start_new_session=True,  # Ctrl-C is the parent's to handle, and its children die with it
            )
        threading.Thread(target=self._read, args=(inbox,), daemon=True).start()
        self.send(arguments)

    def _read(self, inbox: queue.SimpleQueue[Any]) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # half a line of a killed process
            for line in self.process.stdout:
                inbox.put((self, json.loads(line)))
        inbox.put((self, None))

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over one message; raises MethodFailed where the process is gone."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self.describe_end() from error

    def describe_end(self) -> MethodFailed:
        """The error that says what became of the process."""
        code = self._end()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return MethodFailed(
            f"{self.name}: the vLLM process {how}: {telling_line(self.log)} (log: {self.log});"
            " mend that, free memory, or generate with --backend hf"
        )

    def close(self) -> None:
        """End the process and wait until it is gone; the log stays where it died by itself."""
        assert self.process.stdin is not None
        alive = self.process.poll() is None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self._end()
        if alive:
            self.log.unlink(missing_ok=True)

    def _end(self) -> int:
        """Wait for the process, but not for ever; the exit code. Children that vLLM started do not outlive it."""
        if self.process.returncode is not None:
            return self.process.returncode
        try:
            code = self.process.wait(FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        if code != 0:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return code


def telling_line(log: Path) -> str:
    """The last error of a log, in its own words, with the indented lines that belong to it; else its last line."""
    lines = [line.rstrip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [index for index, line in enumerate(lines) if TELLING.match(line)]
    telling = [index for index in errors if SEQUEL not in lines[index]] or errors or [len(lines) - 1]
    if not lines:
        return "it left no message"
    rest = itertools.takewhile(lambda line: line.startswith(" "), lines[telling[-1] + 1 :])
    said = " ".join([lines[telling[-1]], *map(str.strip, rest)])
    return re.sub(r"^\(.*?\) *", "", said)[:300]


def _setting(variable: str) -> list[str]:
    value = os.environ.get(variable)
    return [value] if value else []
