"""Installing another version: what did not change is not made again, and what did is, with what follows from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
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


# Every run is a process of its own that imports the project from where this version of it lies: what is imported
# before the fork are other packages.
INSTALLED = """
import importlib, os, sys
for name in ("accelerate", "pandas", "peft.utils.transformers_weight_conversion", "sklearn.linear_model", "torch",
             "transformers.models.llama.modeling_llama", "transformers.tokenization_utils_tokenizers"):
    importlib.import_module(name)
for line in sys.stdin:
    assert not any(name.partition(".")[0] == "ropo_bench" for name in sys.modules)
    child = os.fork()
    if not child:
        sys.path[:0] = [line.strip(), "grader"]
        os.dup2(2, 1)  # standard output is for exit codes
        from ropo_bench.commands.app import main
        assert sys.modules["ropo_bench"].__file__.startswith(os.path.join(os.getcwd(), line.strip(), ""))
        sys.exit(main())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def run(installed: Path) -> Iterator[Callable[[str], set[str]]]:
    """The stages that a run makes under one of the installed versions."""
    command = [sys.executable, "-P", "-c", INSTALLED, "run", "--methods", "ropo", "--suite", "tiny"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    log = installed / "log"
    with log.open("w") as told, subprocess.Popen(
        [*command, "--include", "suite"],
        cwd=installed, env={**environment, "OMP_NUM_THREADS": "1"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told,
    ) as server:  # fmt: skip
        assert server.stdin is not None

        def go(version: str) -> set[str]:
            before = log.stat().st_size
            print(version, file=server.stdin, flush=True)
            code = server.stdout.readline() if server.stdout else ""
            text = log.read_text()[before:]
            assert code == "0\n", text
            return set(re.findall(r"^(\w+) .*: begins", text, flags=re.MULTILINE))

        yield go
        server.stdin.close()


@pytest.mark.slow
def test_only_what_another_version_makes_otherwise_is_made_again(
    installed: Path, run: Callable[[str], set[str]]
) -> None:
    assert run("old") >= {"reference", "train", "merge", "generate"}
    for version in ("new", "scored"):
        shutil.copytree(installed / "old", installed / version)
        for path in (installed / version / "ropo_bench").rglob("*.py"):
            path.write_text(f"# Another comment.\n{path.read_text()}")
        door = installed / version / "ropo_bench/runs/provenance.py"
        door.write_text(door.read_text().replace('__version__ = "', '__version__ = "9.'))
    assert run("new") == set()
    stage = installed / "scored/ropo_bench/stages/scores.py"
    stage.write_text(stage.read_text().replace("VERSION = 1", "VERSION = 2"))
    before = sorted(path.parent.name for path in (installed / "runs/cache").glob("policy/*/manifest.json"))
    assert run("scored") <= {"score"}
    scores = list((installed / "runs/cache").glob("scores/*/manifest.json"))
    assert len(scores) == 8  # two rows on two tasks, under both versions
    assert sorted(path.parent.name for path in (installed / "runs/cache").glob("policy/*/manifest.json")) == before
