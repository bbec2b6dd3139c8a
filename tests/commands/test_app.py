"""The command line itself: quick to start, clear about its commands and about a wrong one."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


MODULES = ["ropo_bench", "ropo_bench.commands.app", "ropo_bench.recipes.load", "ropo_bench.pipeline"]


@pytest.mark.parametrize("module", MODULES)
def test_nothing_heavy_is_imported_before_it_is_needed(module: str) -> None:
    heavy = "{'torch', 'transformers', 'peft', 'lm_eval', 'sklearn', 'datasets'}"
    assert python(f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))").strip() == "[]"


def test_help_is_quick_and_names_the_commands() -> None:
    began = time.perf_counter()
    run = subprocess.run([sys.executable, "-m", "ropo_bench", "--help"], capture_output=True, text=True, check=True)
    assert time.perf_counter() - began < 3.0  # 0.1 s on an idle machine; tests share theirs
    assert all(name in run.stdout for name in ("run", "eval", "table", "tune", "methods", "pocket"))


@pytest.mark.parametrize(
    "arguments", [["rnu"], ["run", "--sedes", "1"], ["table", "nothing"], ["methods", "show", "rpo"]]
)
def test_a_wrong_command_exits_2_in_words(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "ropo_bench", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr
    assert "Traceback" not in run.stderr
