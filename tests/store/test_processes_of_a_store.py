"""The store between processes: kill -9 at any moment, and one that waits for another."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ropo_bench.store import JsonLines, Store


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)


WORKER = """
import sys
from pathlib import Path
from ropo_bench.store import JsonLines, Store, atomic_folder
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(100000):
    stage = store.stage("work", f"{number:06d}")
    with stage.begin() as todo:
        if not todo:
            continue
        with JsonLines(stage.path / "records.jsonl") as lines:
            have = sum(1 for _ in lines)
            for i in range(have, 40):
                lines.append({"i": i, "text": "x" * 3000})
                if i == 20:
                    with atomic_folder(stage.path / "checkpoint") as folder:
                        (folder / "a").write_text("a" * 50000)
                        (folder / "b").write_text("b" * 50000)
        (stage.path / "weights").write_bytes(b"w" * 200000)
        stage.finish({"records": 40})
"""


def test_kill_9_at_any_moment_leaves_no_half_record_and_no_marker_without_its_files(tmp_path: Path) -> None:
    dice = random.Random(0)
    for _ in range(12):
        worker = start(WORKER, str(tmp_path))
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0.0, 0.12))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    unfinished = 0
    folders = sorted((tmp_path / "cache" / "work").iterdir())
    for folder in folders:
        stage = Store(tmp_path).stage("work", folder.name)
        records = [r["i"] for r in JsonLines(folder / "records.jsonl")]
        assert records == list(range(len(records)))
        if (folder / "checkpoint").exists():
            assert sorted(p.stat().st_size for p in (folder / "checkpoint").iterdir()) == [50000, 50000]
        if stage.done:
            assert len(records) == 40
            assert (folder / "weights").stat().st_size == 200000
        else:
            unfinished += 1
    assert len(folders) > 5, "the worker was killed before it did anything"
    assert unfinished <= 1, "each new worker finishes what the killed one left"


HOLDER = """
import sys, time
from pathlib import Path
from ropo_bench.store import Store
stage = Store(Path(sys.argv[1])).stage("train", "k")
with stage.begin() as todo:
    print("holding", flush=True)
    if sys.argv[2] == "finish":
        time.sleep(0.3)
        stage.finish({"by": "holder"})
    else:
        time.sleep(60)
"""


@pytest.mark.parametrize("end", ["finish", "killed"])
def test_a_second_process_waits_says_for_whom_and_goes_on(tmp_path: Path, end: str) -> None:
    holder = start(HOLDER, str(tmp_path), end)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    said: list[str] = []

    def waiting(line: str) -> None:
        said.append(line)
        if end == "killed":
            holder.send_signal(signal.SIGKILL)

    stage = Store(tmp_path).stage("train", "k")
    with stage.begin(waiting) as todo:
        assert todo is (end == "killed")
    holder.wait()
    assert said == [f"train k is being made by process {holder.pid}; waiting"]
