"""An error that nobody foresaw is one line and exit 70, never a verdict; the other rows finish."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.errors import InternalError, MethodFailed, OutOfMemory
from ropo_bench.errors.failures import TRACEBACKS, as_expected, keep_tracebacks_in, note_work, without_secrets
from tests import tiny_suite
from tests.test_pipeline import finish, ropo_bench, rows

SECRET = "s3cret-of-the-endpoint"


@pytest.fixture
def suite(base_folder: Path, tmp_path: Path) -> list[str]:
    options = tiny_suite.write(tmp_path / "suite", base_folder)
    for name in ("broken", "leaving", "without_memory"):
        path = tmp_path / "suite" / "methods" / f"{name.replace('_', '-')}.yaml"
        path.write_text(f"inherit: dpo\ndescription: a fault\nloss: {{name: 'tests.adversary.faulty:{name}'}}\n")
    return options


def test_a_fault_in_one_row_stops_no_other(suite: list[str], tmp_path: Path) -> None:
    command = ["run", "--methods", "broken,leaving,without-memory,ropo", *suite, "--json"]
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 70, err
    assert "Traceback" not in err
    states = {name: row["state"] for name, row in rows(out).items()}
    assert states["ropo"] == states["SFT"] == "done"
    assert states["broken"].startswith("failed: internal error in row broken seed 0, train broken seed 0: KeyError")
    assert states["leaving"].startswith("failed: internal error")
    assert states["without-memory"].startswith("failed: out of memory in row without-memory seed 0")
    files = sorted((tmp_path / "runs" / "cache" / "tracebacks").iterdir())
    assert len(files) == 2  # of memory there is nothing to report
    assert all(str(file) in err for file in files)
    assert any("KeyError: 'logps'" in file.read_text() for file in files)


def test_a_fault_in_the_base_is_exit_70_without_its_key(
    suite: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTY_API_KEY", SECRET)
    task = tmp_path / "suite" / "tasks" / "tiny-arena.yaml"
    task.write_text(task.read_text().replace("tests.tiny_suite:grade_turns", "tests.adversary.faulty:leaking_grade"))
    code, _, err = finish(ropo_bench("run", "--methods", "ropo", *suite, cwd=tmp_path))
    last = err.splitlines()[-1]
    assert code == 70, err
    assert last.startswith("error: internal error in ropo-bench run, row SFT seed 0")
    assert "LookupError: the server said no to [blotted out]" in last
    [file] = (tmp_path / "runs" / "cache" / "tracebacks").iterdir()
    assert SECRET not in file.read_text() + err


@pytest.mark.slow
def test_a_process_of_a_team_reports_as_one_process_does(suite: list[str], tmp_path: Path) -> None:
    command = ["run", "--methods", "broken", *suite, "--processes", "2", "--json"]
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 70, err
    assert rows(out)["broken"]["state"].startswith("failed: internal error: KeyError")
    assert list((tmp_path / "runs" / "cache" / "tracebacks").iterdir())


def test_what_an_error_becomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACEBACKS, "")
    keep_tracebacks_in(tmp_path / "tracebacks")
    known = MethodFailed("the loss is NaN")
    assert as_expected(known) is known
    assert isinstance(as_expected(MemoryError()), OutOfMemory)
    assert isinstance(as_expected(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")), OutOfMemory)
    error = ValueError("first\nsecond")
    note_work(error, "merge ropo seed 1")
    note_work(error, "row ropo seed 1")
    told = as_expected(error)
    assert isinstance(told, InternalError)
    assert "internal error in row ropo seed 1, merge ropo seed 1: ValueError: first; " in str(told)
    assert "second" not in str(told)


def test_a_traceback_goes_elsewhere_where_its_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(TRACEBACKS, str(tmp_path / "file" / "below"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert str(tmp_path / "temporary") in str(as_expected(KeyError("x")))


@pytest.mark.parametrize("name", ["JUDGE_API_KEY", "HF_TOKEN", "A_SECRET", "db_password"])
def test_values_of_secret_variables_are_blotted_out(name: str) -> None:
    assert without_secrets(f"GET {SECRET}?", {name: SECRET, "MY_KEY": "1"}) == "GET [blotted out]?"
    assert "sk-" not in without_secrets("sk-" + "a" * 20, {})
