"""cpu.c to a shared library, once for a source, compiler and CPU; kept in the user's cache folder."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from ropo_bench.store.files import user_cache

SOURCE = Path(__file__).with_name("cpu.c")  # includes the headers beside it
# No -ffast-math: angle 0 must stay the identity and sums keep their order.
FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
NATIVE = ("-march=native", "-mcpu=native", None)  # the first that the compiler takes
COMPILE_SECONDS = 120


class BuildError(Exception):
    """Why there is no library, in one line."""


def load() -> ctypes.CDLL:
    """The library, compiled now (a few seconds) unless the cache has it; raises BuildError."""
    compiler = find_compiler()
    target = user_cache() / "kernels" / f"ropo-{_key(compiler)}.so"
    try:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _compile(compiler, target)
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise BuildError(
            f"{target}: {error.strerror or error}; choose another folder with ROPO_BENCH_CACHE"
        ) from error


def find_compiler() -> list[str]:
    """The command of $CC, or else of cc, gcc or clang; raises BuildError."""
    named = shlex.split(os.environ.get("CC", ""))
    for command in [named] if named else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    given = f"CC={shlex.join(named)} is not on PATH" if named else "no C compiler (cc, gcc or clang) is on PATH"
    raise BuildError(f"{given}; install one or name one with CC")


def _key(compiler: list[str]) -> str:
    compiler_path = os.path.realpath(shutil.which(compiler[0]) or "")
    sources = [path.read_text(encoding="utf-8") for path in (SOURCE, *sorted(SOURCE.parent.glob("*.h")))]
    parts = [*sources, compiler_path, *compiler[1:], *FLAGS, platform.machine(), _cpu()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _cpu() -> str:
    """What the native code depends on: model and instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part", "isa")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def _compile(compiler: list[str], target: Path) -> None:
    """Into a temporary file, then moved: processes that start together do not see half a library."""
    number, temporary = tempfile.mkstemp(dir=target.parent, prefix=".tmp-", suffix=".so")
    os.close(number)
    try:
        for native in NATIVE:
            command = [*compiler, *FLAGS, *([native] if native else []), str(SOURCE), "-o", temporary, "-lm"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
            except subprocess.TimeoutExpired as error:
                raise BuildError(f"{compiler[0]} took more than {COMPILE_SECONDS} s") from error
            if done.returncode == 0:
                os.replace(temporary, target)
                return
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BuildError(f"{shlex.join(compiler)} cannot compile {SOURCE.name}: {lines[0]}")
    finally:
        Path(temporary).unlink(missing_ok=True)
