"""Disks that fill up."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_file_limit() -> Iterator[None]:
    """No file of this process may pass 64 KiB: writes fail as on a full disk, with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=["tmpfs", "file size limit"])
def full_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 64 KiB: a real small disk where mounting is allowed, and a limit everywhere."""
    if request.param == "file size limit":
        request.getfixturevalue("small_file_limit")
        yield tmp_path
        return
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not allowed here; the file size limit stands in for it")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)
