"""Provenance: what it says, what it must never say, and that asking costs no heavy import."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import ropo_bench
from ropo_bench.runs.provenance import code_version, provenance


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_versions_are_those_installed() -> None:
    found = provenance()
    assert found["ropo_bench"] == ropo_bench.__version__
    assert found["packages"]["torch"] == metadata.version("torch")
    assert found["packages"]["lm-eval"] == metadata.version("lm-eval")
    assert found["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["time_utc"])


def test_hardware_is_plausible() -> None:
    found = provenance()["hardware"]
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert found["memory_bytes"] is not None
    assert found["memory_bytes"] > 1 << 28
    assert found["cpu"]


def test_it_names_no_person_machine_or_place() -> None:
    told = json.dumps(provenance())
    assert '"/' not in told, "an absolute path"
    assert str(Path.home()) not in told
    host, user = socket.gethostname(), getpass.getuser()
    words = set(re.findall(r"[\w.-]+", told))
    assert host not in words
    assert user not in words


def test_a_checkout_has_commit_and_dirty_flag_and_other_folders_have_none(tmp_path: Path) -> None:
    assert code_version(tmp_path) == {"commit": None, "dirty": None}
    git(tmp_path, "init", "-q")
    assert code_version(tmp_path)["commit"] is None, "no commit yet"
    (tmp_path / "a").write_text("1")
    assert code_version(tmp_path)["dirty"] is True
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "a")
    assert code_version(tmp_path) == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "a").write_text("2")
    assert code_version(tmp_path)["dirty"] is True
    inside = tmp_path / "site-packages"
    inside.mkdir()
    assert code_version(inside) == {"commit": None, "dirty": None}


def test_no_heavy_package_is_imported() -> None:
    script = (
        "import sys, ropo_bench.runs.provenance, ropo_bench.runs.reading, ropo_bench.store, "
        "ropo_bench.terminal.progress; ropo_bench.runs.provenance.provenance(); "
        "print([m for m in ('torch', 'transformers', 'pandas', 'numpy', 'peft') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
