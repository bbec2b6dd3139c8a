"""Progress: exact plain lines under a hand-driven clock, and a live view on a real pseudo-terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys

import pytest

from ropo_bench.terminal import progress as module
from ropo_bench.terminal.progress import Progress, duration_text


class Clock:
    """A clock that the test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "_now", clock)
    return clock


def test_plain_lines_say_begin_way_and_end_at_a_limited_rate(clock: Clock) -> None:
    out = io.StringIO()
    with Progress(out) as progress, progress.stage("train", "ropo", seed=0, total=60, start=10) as bar:
        for step in range(11, 61):
            clock.seconds += 0.25
            bar.update(step, tokens=1000)
    assert out.getvalue().splitlines() == [
        "train ropo seed 0: begins (60 steps, from 10)",
        "train ropo seed 0: 30/60, 4,000 tokens/s, 7.5 s left",
        "train ropo seed 0: 50/60, 4,000 tokens/s, 2.5 s left",
        "train ropo seed 0: done in 12.5 s, 4,000 tokens/s",
    ]


def test_without_tokens_the_unit_is_counted_and_without_total_nothing_is_foretold(clock: Clock) -> None:
    out = io.StringIO()
    with Progress(out) as progress, progress.stage("judge", "dpo", unit="battles") as bar:
        clock.seconds += 8.0
        bar.update(12)
    assert out.getvalue().splitlines() == [
        "judge dpo: begins",
        "judge dpo: 12, 1.5 battles/s",
        "judge dpo: done in 8.0 s, 1.5 battles/s",
    ]


def test_finished_stages_are_told_together_before_the_next_line(clock: Clock) -> None:
    out = io.StringIO()
    with Progress(out) as progress:
        for seed in range(3):
            for method in ("ropo", "dpo"):
                for stage in ("train", "merge"):
                    progress.cached(stage, method)
            assert out.getvalue() == "", seed
        progress.note("[bold]a name may hold brackets[/bold]")
        progress.cached("score", "dpo")
    assert out.getvalue().splitlines() == [
        "done before: train (ropo, dpo), merge (ropo, dpo)",
        "[bold]a name may hold brackets[/bold]",
        "done before: score (dpo)",
    ]


@pytest.mark.parametrize(("error", "word"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_a_stage_that_breaks_off_says_where(clock: Clock, error: type[BaseException], word: str) -> None:
    out = io.StringIO()

    def run() -> None:
        with Progress(out) as progress, progress.stage("train", "oft", total=5) as bar:
            clock.seconds += 70
            bar.update(2)
            raise error

    with pytest.raises(error):
        run()
    assert out.getvalue().splitlines()[-1] == f"train oft: {word} at 2/5, after 1:10 min"


def test_durations() -> None:
    assert [duration_text(s) for s in (0.04, 59.94, 65, 7389)] == ["0.0 s", "59.9 s", "1:05 min", "2:03:09 h"]


SCRIPT = """
import time
from ropo_bench.terminal.progress import Progress
with Progress() as progress:
    with progress.stage("train", "a[red]b", seed=1, total=4) as bar:
        for step in range(1, 5):
            time.sleep(0.3)
            bar.update(step, tokens=100)
print("the result")
"""


def test_on_a_terminal_rows_are_live_and_stdout_holds_only_the_result() -> None:
    terminal, end = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=end, env=environment, text=True
    )
    os.close(end)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux reports the other end's closing as an error
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    result, _ = process.communicate()
    assert process.returncode == 0
    assert result == "the result\n"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"train a\[red\]b seed 1 ━.* [123]/4 \d+ tokens/s \d\.\d s left", plain)
    assert re.search(r"train a\[red\]b seed 1: done in 1\.\d s, \d+ tokens/s", plain)
