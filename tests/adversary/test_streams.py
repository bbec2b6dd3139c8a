"""Where output goes that nobody can take: closed, full, or of an encoding without the characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "ropo_bench"]


def test_a_closed_standard_output_ends_as_other_tools_do() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run([*COMMAND, "methods"], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert run.returncode == 141
    assert run.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [["methods"], ["methods", "--json"], ["--help"]])
def test_a_full_disk_behind_standard_output_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 4
    assert run.stderr.startswith("error: standard output: ")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_characters_that_the_output_lacks_are_escaped(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "methods" / "own.yaml"
    path.parent.mkdir()
    path.write_text("inherit: dpo\ndescription: größer \U0001f600\n", encoding="utf-8")
    given = {**os.environ, **environment, "PYTHONCOERCECLOCALE": "0"}
    command = [*COMMAND, "methods", "--include", str(tmp_path), "--json"]
    run = subprocess.run(command, capture_output=True, env=given, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.isascii()
    own = next(row for row in json.loads(run.stdout) if row["name"] == "own")
    assert own["description"] == "größer \U0001f600"


@pytest.mark.parametrize("arguments", [["rnu"], ["run", "--sedes", "1"], ["run", "--seeds", "x"], []])
def test_a_wrong_command_line_is_still_exit_2(arguments: list[str]) -> None:
    run = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
