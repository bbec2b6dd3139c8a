"""What `gate` refuses of a baseline and of a confirming run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer

from ropo_bench.commands.gate import gate_command
from ropo_bench.errors import UsageError
from ropo_bench.store import Store
from tests.stored_run import QUIZ, method, write

RIGHT = {"quiz": {"accuracy": [100.0, 0.0, 100.0, 100.0]}}


def gate(store: Store, baseline: str, confirm: str | None = None) -> None:
    gate_command("night", baseline, store.root / "history.jsonl", confirm, store.root, False)


def test_a_baseline_that_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "night", {"SFT": [RIGHT], "ropo": [RIGHT]}, tasks=(QUIZ,))
    (tmp_path / "wrong.json").write_bytes(bytes(np.arange(256, dtype=np.uint8)))
    with pytest.raises(UsageError, match=r"wrong.json:1: not JSON") as caught:
        gate(store, str(tmp_path / "wrong.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["base", "preference data", "task quiz", "method ropo"])
def test_only_a_run_of_the_same_confirms(tmp_path: Path, what: str) -> None:
    store = Store(tmp_path)
    rows = {"SFT": [RIGHT], "ropo": [RIGHT]}
    write(store, "night", rows, tasks=(QUIZ,))
    again = write(store, "again", rows, tasks=(QUIZ,))
    for row in again.rows:
        row.seed = 1
    store.write_run("again", again.model_dump())
    with pytest.raises(typer.Exit):  # INCONCLUSIVE: there is no baseline yet
        gate(store, "rolling:14", "again")
    assert again.data is not None
    match what:
        case "base":
            again.base = "c" * 64
        case "preference data":
            again.data.sha256 = "e" * 64
        case "task quiz":
            again.request.tasks[0].options["shots"] = 1
        case _:
            again.request.methods[0] = method("ropo", lr=1.0)
    store.write_run("again", again.model_dump())
    with pytest.raises(UsageError, match=f"--confirm again: {what} is not that of night"):
        gate(store, "rolling:14", "again")


def test_the_newest_run_is_meant_where_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    write(store, "night", {"SFT": [RIGHT], "ropo": [RIGHT]}, tasks=(QUIZ,))
    with pytest.raises(typer.Exit):
        gate_command(None, "rolling:14", tmp_path / "history.jsonl", None, tmp_path, True)
    assert '"night"' in capsys.readouterr().out
