"""One flipped byte anywhere in a finished store: told by the command that reads it, with a mend that is true, or
without influence; never another number.

Some files, chosen by a seed; ROPO_BENCH_ALL_BYTES=1 tries every file with every command.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ropo_bench.commands.app import app
from ropo_bench.commands.gate import baseline_of
from ropo_bench.errors import RopoBenchError, StorageError
from tests import tiny_suite

COMMIT = "0123456789" * 4
EVERYTHING = bool(os.environ.get("ROPO_BENCH_ALL_BYTES"))
SEED = int(os.environ.get("ROPO_BENCH_SEED", "20"))
STAGES = ("pairs", "reference", "policy", "merged", "completions", "scores", "measured", "compared")
MEND = re.compile(r"delete (?:the folder )?(/\S+|it) and repeat")


class Answer(NamedTuple):
    """What a command said: its exit code, its output, the files that it wrote, its error."""

    code: int
    out: str
    files: dict[str, bytes]
    error: str


class Finished(NamedTuple):
    """A finished store, the options that name its suite, and a file of claims."""

    folder: Path
    options: list[str]

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def files(self) -> list[Path]:
        """Everything that a finished run left, but locks, which hold no content."""
        found = [path for path in sorted(self.runs.rglob("*")) if path.is_file()]
        return [path for path in found if "locks" not in path.parts and "report" not in path.parts]


@pytest.fixture(scope="module")
def finished(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("flipped")
    options = [*tiny_suite.write(folder / "suite", base_folder), "--methods", "dpo", "--set", "train.epochs=1"]
    (folder / "claims.yaml").write_text("- dpo > SFT on tiny-arena.win_rate by >= 2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ropo_bench.runs.provenance.code_version", lambda _: {"commit": COMMIT, "dirty": False})
        store = Finished(folder, options)
        assert ask(store, "run").code == 0
        yield store


def ask(store: Finished, what: str) -> Answer:
    """Run a command in this process; any error but the project's own is a crash, and fails the test."""
    arguments = {
        "run": ["run", *store.options, "--name", "mine", "--json"],
        "table": ["table", "mine", "--format", "csv"],
        "report": ["report", "mine", "--out", str(store.folder / "out")],
        "gate": ["gate", "mine", "--history", str(store.folder / "none.jsonl")],
        "publish": ["publish", "mine", "--out", str(store.folder / "out")],
        "claims": ["claims", "mine", "--claims", str(store.folder / "claims.yaml")],
        "compare": ["compare", "mine", "--rows", "SFT,dpo", "--json"],
        "export": ["export", str(store.folder / "out"), "--run", "mine"],
        "plan": ["plan", *store.options, "--json"],
    }[what]
    shutil.rmtree(store.folder / "out", ignore_errors=True)
    code, error = 0, ""
    with captured() as (out, told):
        try:
            code = app([*arguments, "--runs", str(store.runs)], standalone_mode=False) or 0
        except RopoBenchError as failure:
            code, error = failure.exit_code, str(failure)
    if code and not error:
        error = " ".join(told().splitlines())  # a row that failed, beside others
    written = {path.name: path.read_bytes() for path in (store.folder / "out").rglob("*") if path.is_file()}
    text = out()
    if code in (1, 3):
        error = ""  # a verdict
    if what == "plan" and not code:  # the rest is about the machine of this moment
        text = json.dumps({key: json.loads(text)[key] for key in ("steps", "power")})
    return Answer(code, text, {name: data for name, data in written.items() if name[-4:] != ".pdf"}, error)


@contextmanager
def captured() -> Iterator[tuple[Callable[[], str], Callable[[], str]]]:
    """Standard output and standard error of the body."""
    out, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
        yield out.getvalue, told.getvalue


@contextmanager
def flipped(path: Path, at: int, bit: int) -> Iterator[None]:
    """One bit of a file is another one in the body."""
    before = path.read_bytes()
    path.write_bytes(before[:at] + bytes([before[at] ^ 1 << bit]) + before[at + 1 :])
    try:
        yield
    finally:
        path.write_bytes(before)


READERS = ("run", "table", "gate", "publish", "claims", "compare", "export", "plan", "report")


@pytest.fixture(scope="module")
def undisturbed(finished: Finished) -> dict[str, Answer]:
    for what in ("table", "compare"):
        ask(finished, what)  # what they keep in the store is part of it
    return {what: ask(finished, what) for what in READERS}


def chosen(files: list[Path]) -> list[tuple[Path, str]]:
    """Files and the commands that are to read them: all, or of every kind of stage some, each with two commands."""
    if EVERYTHING:
        return [(path, what) for path in files for what in READERS]
    draw = random.Random(SEED)
    kinds: dict[str, list[Path]] = {}
    for path in files:
        kinds.setdefault(path.parents[1].name if path.name != "run.json" else "run.json", []).append(path)
    quick = READERS[:-1]
    some = [path for own in kinds.values() for path in draw.sample(own, min(3, len(own)))]
    return [(path, what) for path in some for what in draw.sample(quick, 2)] + [(some[-1], "report")]


def test_a_flipped_byte_is_told_or_has_no_influence(finished: Finished, undisturbed: dict[str, Answer]) -> None:
    draw = random.Random(SEED)
    told = 0
    for path, what in chosen(finished.files()):
        size = path.stat().st_size
        if not size:
            continue
        at, bit = draw.randrange(size), draw.randrange(8)
        with flipped(path, at, bit):
            found = ask(finished, what)
        where = f"{path.relative_to(finished.runs)} byte {at} bit {bit}: {what}"
        if found.error and found.error != undisturbed[what].error:
            assert found.code in (2, 4), where
            assert str(path.parent) in found.error or str(path) in found.error, f"{where}: {found.error}"
            assert MEND.search(found.error), f"{where}: {found.error}"
            assert "\n" not in found.error, where
            told += 1
        else:
            assert found == undisturbed[what], where
    assert told > 5, "commands read what lies in the store"


READER_OF = {"measured": "table", "compared": "table", "completions": "compare"}  # else: run


def numbers(store: Finished) -> Any:
    """What was measured, without what it cost this time."""
    rows = json.loads(ask(store, "run").out)["rows"]
    return {row["name"]: row["cells"] for row in rows}, ask(store, "claims").out


@pytest.mark.parametrize("kind", [*STAGES, "run.json"])
@pytest.mark.usefixtures("undisturbed")
def test_the_mend_is_true(finished: Finished, kind: str, tmp_path: Path) -> None:
    store = Finished(tmp_path, finished.options)
    shutil.copytree(finished.runs, store.runs)
    shutil.copy(finished.folder / "claims.yaml", tmp_path)
    before = numbers(finished)
    if kind == "reference":  # who trains reads it
        for made in ("policy", "merged"):
            shutil.rmtree(store.runs / "cache" / made)
    own = [path for path in store.files() if kind in path.parts]
    path = max(own, key=lambda path: (path.name not in ("manifest.json",), path.stat().st_size))
    data = path.read_bytes()
    path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    first = ask(store, READER_OF.get(kind, "run"))
    assert first.code == 4, "noticed"
    assert str(path) in first.error
    mend = MEND.search(first.error)
    assert mend is not None, first.error
    spoilt = path if mend[1] == "it" else Path(mend[1])
    assert path.is_relative_to(spoilt)
    shutil.rmtree(spoilt) if spoilt.is_dir() else spoilt.unlink()
    assert ask(store, "run").code == 0
    assert numbers(store) == before
    for what in ("table", "compare"):
        again, there = ask(store, what), ask(finished, what)
        assert without_costs(again.out) == without_costs(there.out), "answers are shown as before"


def without_costs(text: str) -> str:
    """An output without seconds and bytes, which are another training's where a policy was made again."""
    return re.sub(r"(?<=,)[\d.]+,\d+(?=,)", "", text)


def test_weights_are_looked_at_by_who_loads_them(finished: Finished, tmp_path: Path) -> None:
    """A policy whose merged model is gone is merged again, from the weights that were trained or not at all."""
    from ropo_bench.store import files, stage

    runs = Finished(tmp_path, finished.options)
    shutil.copytree(finished.runs, runs.runs)
    [merged] = (runs.runs / "cache" / "merged").iterdir()
    shutil.rmtree(merged)
    for scores in (runs.runs / "cache" / "scores").iterdir():
        shutil.rmtree(scores)
    [weights] = (runs.runs / "cache" / "policy").glob("*/policy/*.safetensors")
    with pytest.MonkeyPatch.context() as small:
        for module in (files, stage):  # as if these weights were too large to be read at every use
            small.setattr(module, "SMALL_BYTES", 64)
        with flipped(weights, weights.stat().st_size - 3, 0):
            assert ask(runs, "table").error != "", "its scores are gone"
            found = ask(runs, "run")
        assert found.code == 4
        assert f"{weights}: content changed since it was finished" in found.error
        assert ask(runs, "run").code == 0


def test_a_published_table_with_another_byte_is_no_baseline(finished: Finished, tmp_path: Path) -> None:
    shutil.rmtree(finished.folder / "out", ignore_errors=True)
    with captured():
        app(["publish", "mine", "--out", str(tmp_path / "mine"), "--runs", str(finished.runs)], standalone_mode=False)
    baseline = baseline_of(str(tmp_path / "mine"), "tiny")
    assert baseline.night is not None
    draw = random.Random(SEED)
    for name in ("table.json", "manifest.json"):
        size = (tmp_path / "mine" / name).stat().st_size
        for _ in range(40):
            with flipped(tmp_path / "mine" / name, draw.randrange(size), draw.randrange(8)):
                try:
                    found, told = baseline_of(str(tmp_path / "mine"), "tiny"), ""
                except StorageError as error:
                    found, told = baseline, str(error)
            assert found == baseline
            assert "table.json: is not what manifest.json beside it says" in told or not told
