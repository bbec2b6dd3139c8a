"""Machines in words, and the devices that are known by name."""

from __future__ import annotations

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.planning.devices import DEVICES, find_device, machine_of, read_machine

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "name", "number", "gib"),
    [
        ("8xH100-80G", "H100", 8, 80),
        ("1xA100-40G", "A100", 1, 40),
        ("2x4090-24G", "4090", 2, 24),
        ("4xh200", "H200", 4, 141),
        ("16xH100 PCIe-80G", "H100 PCIe", 16, 80),
    ],
)
def test_a_machine_is_read(text: str, name: str, number: int, gib: float) -> None:
    machine = read_machine(text)
    assert (machine.name, machine.num_devices, machine.device_bytes) == (name, number, gib * GIB)
    assert machine.host_bytes is None


@pytest.mark.parametrize("text", ["", "H100", "8H100", "0xH100-80G", "8xH100-80", "8xH100-0G", "8xH100-80G x"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--machine"):
        read_machine(text)


def test_an_unknown_device_is_sent_to_its_memory_alone() -> None:
    with pytest.raises(UsageError, match=r"known: .*H100.*--device-gib 48 --devices 3"):
        read_machine("3xQuux-48G")


def test_machine_and_memory_are_not_given_together() -> None:
    given = machine_of(None, 80, 4)
    assert given is not None
    assert (given.name, given.num_devices) == ("given", 4)
    assert machine_of(None, None, 1) is None
    for gib, devices in ((80.0, 1), (None, 4)):
        with pytest.raises(UsageError, match="leave --device-gib"):
            machine_of("8xH100-80G", gib, devices)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA GeForce RTX 4090", "4090"),
        ("NVIDIA L4", "L4"),
        ("Tesla T4", None),
        ("CPU", None),
        ("given", None),
    ],
)
def test_the_names_that_drivers_give_are_known(words: str, name: str | None) -> None:
    device = find_device(words)
    assert (None if device is None else device.name) == name


def test_the_small_a100_has_slower_memory() -> None:
    small, large = find_device("A100", 40 * GIB), find_device("A100", 80 * GIB)
    assert small is not None
    assert large is not None
    assert small.memory_bytes_per_second < large.memory_bytes_per_second
    assert {device.name for device in DEVICES} >= {"H100", "H200", "A100", "4090"}
