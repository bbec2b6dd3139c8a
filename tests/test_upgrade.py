"""Installing another version: what did not change is not made again, and what did is, with what follows from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import tiny_suite
from tests.test_packaging import built_wheel
from tests.test_pipeline import ROOT


@pytest.fixture
def installed(base_folder: Path, tmp_path: Path) -> Path:
    """A folder with the wheel as installed in `old`, and a tiny suite with its grader beside it."""
    zipfile.ZipFile(built_wheel(tmp_path)).extractall(tmp_path / "old")
    tiny_suite.write(tmp_path / "suite", base_folder)
    (tmp_path / "grader/tests").mkdir(parents=True)
    shutil.copy(ROOT / "tests/tiny_suite.py", tmp_path / "grader/tests/tiny_suite.py")
    return tmp_path


def run(folder: Path, version: str) -> set[str]:
    """The stages that a run makes under one of the installed versions."""
    environment = {**os.environ, "PYTHONPATH": f"{folder / version}:{folder / 'grader'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "ropo_bench", "run", "--methods", "ropo", "--suite", "tiny"]
    done = subprocess.run(
        [*command, "--include", "suite"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^(\w+) .*: begins", done.stderr, flags=re.MULTILINE))


def test_only_what_another_version_makes_otherwise_is_made_again(installed: Path) -> None:
    assert run(installed, "old") >= {"reference", "train", "merge", "generate"}
    for version in ("new", "scored"):
        shutil.copytree(installed / "old", installed / version)
        for path in (installed / version / "ropo_bench").rglob("*.py"):
            path.write_text(f"# Another comment.\n{path.read_text()}")
        door = installed / version / "ropo_bench/runs/provenance.py"
        door.write_text(door.read_text().replace('__version__ = "', '__version__ = "9.'))
    assert run(installed, "new") == set()
    stage = installed / "scored/ropo_bench/stages/scores.py"
    stage.write_text(stage.read_text().replace("VERSION = 1", "VERSION = 2"))
    before = sorted(path.parent.name for path in (installed / "runs/cache").glob("policy/*/manifest.json"))
    assert run(installed, "scored") <= {"score"}
    scores = list((installed / "runs/cache").glob("scores/*/manifest.json"))
    assert len(scores) == 8  # two rows on two tasks, under both versions
    assert sorted(path.parent.name for path in (installed / "runs/cache").glob("policy/*/manifest.json")) == before
