"""What memory a machine has for training, GPUs or not."""

from __future__ import annotations

import pytest

from ropo_bench.planning import given_machine, machine, this_machine
from ropo_bench.runs.provenance import Hardware

MEMINFO = "MemTotal: 24000000 kB\nMemFree: 1 kB\nMemAvailable:   20971520 kB\n"
GIB = 1 << 30


def found(*gpus: str, memory: int | None = 24 * GIB) -> Hardware:
    return {"cpu": "a", "cores": 2, "memory_bytes": memory, "gpus": list(gpus)}


@pytest.fixture(autouse=True)
def cuda_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpu_build", lambda: False)


def test_a_cpu_has_what_memory_is_left_and_its_processes_share_it() -> None:
    here = this_machine(found(), MEMINFO, {})
    assert (here.name, here.num_devices, here.device_bytes) == ("CPU", 1, 20 * GIB)
    assert here.available(2) == 10 * GIB
    assert this_machine(found(), "", {}).device_bytes == 24 * GIB
    assert this_machine(found(memory=None), "", {}).available(2) is None


def test_gpus_have_what_the_smallest_has() -> None:
    gpus = "NVIDIA H100 80GB HBM3, 81559 MiB", "NVIDIA A100, 40960 MiB"
    both = this_machine(found(*gpus), MEMINFO, {})
    assert (both.num_devices, both.device_bytes, both.host_bytes) == (2, 40 * GIB, 20 * GIB)
    assert both.available(2) == 40 * GIB
    first = this_machine(found(*gpus), MEMINFO, {"CUDA_VISIBLE_DEVICES": "0"})
    assert (first.name, first.num_devices, first.device_bytes) == ("NVIDIA H100 80GB HBM3", 1, 81559 << 20)
    assert this_machine(found(*gpus), MEMINFO, {"CUDA_VISIBLE_DEVICES": ""}).name == "CPU"
    assert this_machine(found(*gpus), MEMINFO, {"CUDA_VISIBLE_DEVICES": "GPU-6a1c"}).num_devices == 1
    assert this_machine(found("Unknown, [N/A]"), MEMINFO, {}).device_bytes is None


def test_torch_without_cuda_trains_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpu_build", lambda: True)
    assert this_machine(found("NVIDIA A100, 40960 MiB"), MEMINFO, {}).name == "CPU"


def test_a_given_machine() -> None:
    there = given_machine(80, 4)
    assert (there.num_devices, there.available(4), there.host_bytes) == (4, 80 * GIB, None)
