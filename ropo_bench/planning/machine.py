"""The devices that a run would train on, and their memory; nothing is loaded to know it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ropo_bench.runs.provenance import Hardware, hardware

MEMINFO = Path("/proc/meminfo")
MIB, GIB = 1 << 20, 1 << 30
CPU = "CPU"


@dataclass(frozen=True, slots=True)
class Machine:
    """Devices of one kind: their name, number, and bytes of each; host_bytes: what the machine's memory has left.

    Bytes are None where they cannot be told.
    """

    name: str
    num_devices: int
    device_bytes: int | None
    host_bytes: int | None

    def available(self, num_processes: int) -> int | None:
        """Bytes that each of so many processes has: a device each, or a part of the memory that CPUs share."""
        if self.device_bytes is None or self.name != CPU:
            return self.device_bytes
        return self.device_bytes // num_processes


def this_machine(
    parts: Hardware | None = None, meminfo: str | None = None, environment: Mapping[str, str] | None = None
) -> Machine:
    """GPUs with the memory that they have, where torch is built for them; else the CPU and what memory is left.

    The arguments stand for what is read here: `provenance.hardware()`, /proc/meminfo, os.environ.
    """
    parts = hardware() if parts is None else parts
    if meminfo is None:
        meminfo = MEMINFO.read_text() if MEMINFO.exists() else ""
    left = re.search(r"^MemAvailable: +(\d+) kB", meminfo, re.MULTILINE)
    host = int(left[1]) * 1024 if left else parts["memory_bytes"]
    gpus = _visible(parts["gpus"], os.environ if environment is None else environment)
    if not gpus or _cpu_build():
        return Machine(CPU, 1, host, host)
    name = gpus[0].partition(",")[0]
    return Machine(name, len(gpus), min(_gpu_bytes(gpu) for gpu in gpus) or None, host)


def given_machine(device_gib: float, num_devices: int) -> Machine:
    """A machine that the user is not on."""
    return Machine("given", num_devices, round(device_gib * GIB), None)


def _visible(gpus: list[str], environment: Mapping[str, str]) -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves; names in place of numbers leave as many as there are names."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return gpus
    names = [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    if all(name.isdigit() and int(name) < len(gpus) for name in names):
        return [gpus[int(name)] for name in names]
    return gpus[: len(names)]


def _gpu_bytes(gpu: str) -> int:
    """Memory in nvidia-smi's line "name, 81559 MiB"; 0 where it says none."""
    size = re.search(r", (\d+) MiB", gpu)
    return int(size[1]) * MIB if size else 0


def _cpu_build() -> bool:
    """Whether torch is the build that knows no GPU."""
    try:
        return metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False
