"""What a number was made with: versions, code, hardware, time; nothing that names a person or a machine."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TypedDict

__version__ = "0.1.0"
"""Of ropo-bench. It stands here, below what makes numbers, so that nothing need import the top package for it."""
CHECKOUT = Path(__file__).parents[2]
"""The folder that the package lies in: a git checkout's, where it is run from one."""
PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets", "lm-eval", "numpy", "vllm")


class Code(TypedDict):
    """The git commit of the checkout that ran, and whether tracked or new files differed from it."""

    commit: str | None
    dirty: bool | None


class Hardware(TypedDict):
    """Processor, cores this process may use, memory in bytes, and GPU names with their memory."""

    cpu: str
    cores: int
    memory_bytes: int | None
    gpus: list[str]


class Provenance(TypedDict):
    """See `provenance`."""

    ropo_bench: str
    code: Code
    packages: dict[str, str]
    python: str
    platform: str
    hardware: Hardware
    time_utc: str


def _output(*command: str, cwd: Path | None = None) -> str | None:
    """What a command printed, or None if it is not there, fails, or hangs."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def code_version(folder: Path) -> Code:
    """Commit and dirty flag of the git checkout whose top folder is `folder`; None each where it is none.

    Only the project's own checkout counts: a package installed inside somebody's repository has no commit.
    """
    if not (folder / ".git").exists():
        return {"commit": None, "dirty": None}
    commit = _output("git", "rev-parse", "HEAD", cwd=folder)
    changes = _output("git", "status", "--porcelain", cwd=folder)
    return {"commit": commit or None, "dirty": None if changes is None else bool(changes)}


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that numbers depend on, without importing them."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def hardware() -> Hardware:
    """The processor, the cores this process may use, the memory and the GPUs (by nvidia-smi, not torch)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        memory: int | None = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = None
    gpus = _output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    return {
        "cpu": _cpu_model(),
        "cores": cores,
        "memory_bytes": memory,
        "gpus": gpus.splitlines() if gpus else [],
    }


def provenance() -> Provenance:
    """What this process would make numbers with, at this moment (UTC, whole seconds).

    Holds no host name, user name, absolute path or environment variable, so that it can be published.
    """
    return {
        "ropo_bench": __version__,
        "code": code_version(CHECKOUT),
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "hardware": hardware(),
        "time_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
