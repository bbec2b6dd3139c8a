"""A tiny finished run, and what is published of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ropo_bench.commands.run import run_command
from ropo_bench.publishing import publish
from ropo_bench.request import Asked, Limits
from ropo_bench.runs.reading import Run, open_run
from ropo_bench.store import Store
from tests import tiny_suite
from tests.publishing.editing import COMMIT


@pytest.fixture(scope="session")
def made(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run as a clean checkout makes it, whatever the tests run in."""
    folder = tmp_path_factory.mktemp("made")
    tiny_suite.write(folder / "suite", base_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ropo_bench.runs.provenance.code_version", lambda _: {"commit": COMMIT, "dirty": False})
        asked = Asked("ropo,dpo", "tiny", include=[folder / "suite"], sets=["train.epochs=1"])
        run_command(asked, folder / "runs", "mine", True, Limits())
    return open_run(Store(folder / "runs"), "mine")


@pytest.fixture(scope="session")
def result(made: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(made, tmp_path_factory.mktemp("results") / "mine").folder


@pytest.fixture
def copy(result: Path, tmp_path: Path) -> Path:
    shutil.copytree(result, tmp_path / "result")
    return tmp_path / "result"
