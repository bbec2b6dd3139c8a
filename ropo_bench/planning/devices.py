"""What known devices can do, from their makers' data sheets, and machines in words: 8xH100-80G."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ropo_bench.errors import UsageError
from ropo_bench.planning.machine import GIB, Machine, given_machine


@dataclass(frozen=True, slots=True)
class Device:
    """What a device can do at most.

    flops: operations a second in dense bfloat16 matrix products. memory_bytes_per_second: from its own memory,
    link_bytes_per_second: to its neighbours, in one direction.
    """

    name: str
    flops: float
    memory_gib: float
    memory_bytes_per_second: float
    link_bytes_per_second: float


_TERA, _GIGA = 1e12, 1e9
DEVICES = tuple(
    Device(name, teraflops * _TERA, gib, memory * _GIGA, link * _GIGA)
    for name, teraflops, gib, memory, link in (
        # nvidia.com, data sheets "NVIDIA H100", "H200", "Blackwell (HGX B200)", "A100", "L40S", "L4", "A10", and the
        # white papers "Ada GPU Architecture" and "GA102" for GeForce (bf16 with fp32 accumulation). Sheets that give
        # figures "with sparsity" are halved; NVLink is given as the sum of both directions and halved too, PCIe 4 x16
        # is 32 GB/s. Names are sought in this order: an H100 PCIe or NVL before an H100.
        ("H100 PCIe", 756, 80, 2000, 64),
        ("H100 NVL", 835, 94, 3900, 300),
        ("H100", 989, 80, 3350, 450),
        ("H200", 989, 141, 4800, 450),
        ("B200", 2250, 180, 8000, 900),
        ("A100", 312, 80, 2039, 300),
        ("L40S", 362, 48, 864, 32),
        ("L4", 121, 24, 300, 32),
        ("A10", 125, 24, 600, 32),
        ("4090", 165, 24, 1008, 32),
        ("3090", 71, 24, 936, 32),
    )
)
_MACHINE = re.compile(r"(\d+)x([A-Za-z0-9 ]+?)(?:-(\d+(?:\.\d+)?)G)?")
_SMALLER_A100 = 1555 * _GIGA  # the A100 with 40 GB has slower memory


def find_device(name: str, device_bytes: int | None = None) -> Device | None:
    """The device of a name such as "H100" or "NVIDIA H100 80GB HBM3"; None for one that is not in the table."""
    words = set(re.split(r"[\s_-]+", name.lower()))
    for device in DEVICES:
        if set(device.name.lower().split()) <= words:
            small = device.name == "A100" and device_bytes is not None and device_bytes < 60 * GIB
            speed = _SMALLER_A100 if small else device.memory_bytes_per_second
            return Device(device.name, device.flops, device.memory_gib, speed, device.link_bytes_per_second)
    return None


def read_machine(text: str) -> Machine:
    """A machine in words: COUNTxNAME-GIBG, such as 8xH100-80G; without -GIBG the memory of the data sheet.

    Raises UsageError for a text of another form and for a device that is not in the table.
    """
    match = _MACHINE.fullmatch(text.strip())
    if match is None or not 1 <= int(match[1]) <= 1 << 20:
        raise UsageError(f"--machine {text!r}: give COUNTxNAME-GIBG, such as 8xH100-80G, 1xA100-40G or 2x4090-24G")
    count, name = int(match[1]), match[2].strip()
    device = find_device(name)
    if device is None:
        known = ", ".join(device.name for device in DEVICES)
        raise UsageError(
            f"--machine {text!r}: how fast a {name} is is not known here (known: {known}); its memory alone can be "
            f"planned for: --device-gib {match[3] or 80} --devices {count}"
        )
    gib = float(match[3] or device.memory_gib)
    if gib <= 0:
        raise UsageError(f"--machine {text!r}: a device has more than 0 GiB")
    return Machine(device.name, count, round(gib * GIB), None)


def machine_of(words: str | None, device_gib: float | None, num_devices: int) -> Machine | None:
    """The machine that the command line describes, by --machine or by --device-gib and --devices; None for this one.

    Raises UsageError for both, and as `read_machine` does.
    """
    if words is None:
        return None if device_gib is None else given_machine(device_gib, num_devices)
    if device_gib is not None or num_devices != 1:
        raise UsageError("--machine says memory and number of devices already; leave --device-gib and --devices out")
    return read_machine(words)
