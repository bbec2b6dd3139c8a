"""The wheel: it holds every module and every recipe, and finds its recipes without a checkout beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ropo_bench.recipes.load import list_recipes

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(tmp_path_factory.mktemp("wheel"))


def built_wheel(folder: Path) -> Path:
    """The wheel of this checkout, built into a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_module(wheel: Path) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "ropo_bench").rglob("*.py")}
    assert modules - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_installed_package_finds_its_recipes(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import json, ropo_bench.recipes.load as r;"
        "kinds = ('methods', 'tasks', 'suites');"
        "print(json.dumps([{n: str(p) for n, p in r.list_recipes(k).items()} for k in kinds]));"
        "r.load_methods('all', suite=r.load_suite('pocket'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    for kind, found in zip(("methods", "tasks", "suites"), json.loads(done.stdout), strict=True):
        assert set(found) == set(list_recipes(kind))
        assert all(Path(path).is_relative_to(tmp_path / "ropo_bench" / "_recipes" / kind) for path in found.values())
