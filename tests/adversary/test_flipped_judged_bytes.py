"""One flipped byte in a store that a judge has answered in: told, or without influence; what is paid for stays."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ropo_bench.commands.app import app
from ropo_bench.errors import RopoBenchError
from tests import tiny_suite
from tests.adversary.test_flipped_bytes import EVERYTHING, MEND, SEED, Answer, captured, flipped
from tests.judging.judge_server import JudgeServer

KEY_ENV = "ROPO_BENCH_TEST_KEY"
NUM_GRADED = 4  # prompts of two turns
READERS = ("run", "table", "gate", "publish", "compare", "export", "plan")
TRAINED = ("--methods", "dpo", "--set", "train.epochs=1")
COMMIT = "0123456789" * 4
MT_BENCH = """description: two turns, graded
inherit: mt-bench
prompts: {prompts}
decoding: {{max_new_tokens: 12, temperature: 1.0, temperatures: {{}}}}
judge: test-judge
"""


class Judged(NamedTuple):
    """A store, the options that name its suite, and the server that is its judge."""

    folder: Path
    options: list[str]
    server: JudgeServer

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def answers(self) -> Path:
        [path] = self.runs.glob("cache/judge/*/answers.jsonl")
        return path


@pytest.fixture(scope="module")
def judged(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    folder = tmp_path_factory.mktemp("judged")
    with JudgeServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_ENV, "sk-of-a-test")
        patch.setattr("ropo_bench.runs.provenance.code_version", lambda _: {"commit": COMMIT, "dirty": False})
        options = tiny_suite.write_judged(folder / "suite", base_folder, server.url, KEY_ENV)
        turns = [["Say hi.", f"Say it {n} times."] for n in range(NUM_GRADED)]
        rows = [{"id": str(81 + n), "turns": pair, "category": "writing"} for n, pair in enumerate(turns)]
        (folder / "mt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "suite" / "tasks" / "tiny-mt.yaml").write_text(MT_BENCH.format(prompts=folder / "mt.jsonl"))
        store = Judged(folder, [*options[:-1], "tiny-judged,tiny-mt", *TRAINED], server)
        assert ask(store, "run").code == 0
        yield store


def ask(store: Judged, what: str) -> Answer:
    """Run a command in this process; any error but the project's own is a crash, and fails the test."""
    out_folder = store.folder / "out"
    arguments = {
        "run": ["run", *store.options, "--name", "mine", "--json"],
        "table": ["table", "--format", "csv"],
        "gate": ["gate", "--history", str(store.folder / "none.jsonl")],
        "publish": ["publish", "mine", "--out", str(out_folder)],
        "compare": ["compare", "mine", "--rows", "SFT,dpo", "--json"],
        "export": ["export", str(out_folder)],
        "plan": ["plan", *store.options, "--json"],
    }[what]
    shutil.rmtree(out_folder, ignore_errors=True)
    code, error = 0, ""
    with captured() as (out, told):
        try:
            code = app([*arguments, "--runs", str(store.runs)], standalone_mode=False) or 0
        except RopoBenchError as failure:
            code, error = failure.exit_code, str(failure)
    if code not in (0, 1, 3) and not error:
        error = " ".join(told().splitlines())
    written = {path.name: path.read_bytes() for path in out_folder.rglob("*") if path.is_file()}
    text = out()
    if what == "plan" and not code:
        text = json.dumps({key: json.loads(text)[key] for key in ("steps", "judging")})
    return Answer(code, text, written, error)


@pytest.fixture(scope="module")
def undisturbed(judged: Judged) -> dict[str, Answer]:
    for what in ("table", "compare"):
        ask(judged, what)  # what they keep in the store is part of it
    return {what: ask(judged, what) for what in READERS}


def chosen(store: Judged) -> list[tuple[Path, str]]:
    files = [path for path in sorted(store.runs.rglob("*")) if path.is_file() and "locks" not in path.parts]
    if EVERYTHING:
        return [(path, what) for path in files for what in READERS]
    draw = random.Random(SEED)
    judges = [path for path in files if "judge" in path.parts and path.stat().st_size]
    others = [path for path in files if path.parents[1].name in ("canaries", "completions", "scores")]
    return [(path, what) for path in judges for what in READERS] + [
        (path, draw.choice(READERS)) for path in draw.sample(others, 6)
    ]


def test_a_flipped_byte_of_a_judged_store_is_told_or_has_no_influence(
    judged: Judged, undisturbed: dict[str, Answer]
) -> None:
    assert {answer.code for answer in undisturbed.values()} <= {0, 1, 3}, undisturbed
    draw, sent = random.Random(SEED), judged.server.counts.sent.total()
    for path, what in chosen(judged):
        size = path.stat().st_size
        if not size:
            continue
        at, bit = draw.randrange(size), draw.randrange(8)
        with flipped(path, at, bit):
            found = ask(judged, what)
        where = f"{path.relative_to(judged.runs)} byte {at} bit {bit}: {what}"
        if found.error and found.error != undisturbed[what].error:
            assert found.code in (2, 4), where
            assert str(path) in found.error or str(path.parent) in found.error, f"{where}: {found.error}"
            mend = MEND.search(found.error)
            assert mend is not None, f"{where}: {found.error}"
            assert "/judge/" not in mend[1], "what is paid for is never to be deleted"
        else:
            assert found == undisturbed[what], where
    assert judged.server.counts.sent.total() == sent, "nothing that was answered is asked again"


def test_a_repeated_command_that_fails_leaves_the_record_as_it_was(
    judged: Judged, undisturbed: dict[str, Answer]
) -> None:
    """What is known of a judge's biases stays beside its numbers, also while the command runs again."""
    record = judged.runs / "mine" / "run.json"
    before = record.read_bytes()
    [canaries, *_] = judged.runs.glob("cache/canaries/*/manifest.json")
    with flipped(canaries, canaries.stat().st_size // 2, 0):
        assert ask(judged, "run").code == 4
    assert record.read_bytes() == before
    assert ask(judged, "table") == undisturbed["table"]


def judgments(answer: Answer) -> list[dict[str, object]]:
    """The exported judgments without their time, which is that of the run's last part."""
    rows = map(json.loads, answer.files["test-judge_single.jsonl"].splitlines())
    return [{key: value for key, value in row.items() if key != "tstamp"} for row in rows]


def test_an_answer_that_was_scored_and_is_damaged_is_asked_again_alone(
    judged: Judged, undisturbed: dict[str, Answer]
) -> None:
    before = judgments(undisturbed["export"])
    assert len(before) == 2 * 2 * NUM_GRADED
    lines = judged.answers.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if json.loads(line)["text"] == before[0]["judgment"])
    middle = len(lines[number]) // 2
    lines[number] = lines[number][:middle] + bytes([lines[number][middle] ^ 1]) + lines[number][middle + 1 :]
    judged.answers.write_bytes(b"".join(lines))
    told = ask(judged, "export")
    assert told.code == 4
    assert f"{judged.answers}: 1 answers that were scored are damaged or gone" in told.error
    mend = MEND.search(told.error)
    assert mend is not None
    shutil.rmtree(mend[1])
    sent = judged.server.counts.sent.total()
    assert ask(judged, "run").code == 0
    assert judged.server.counts.sent.total() == sent + 1
    assert judgments(ask(judged, "export")) == before
