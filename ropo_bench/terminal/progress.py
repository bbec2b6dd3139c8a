"""What a running command says on stderr: live rows on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TextIO

from rich import progress as rich_progress
from rich.text import Text

from ropo_bench.errors.failures import note_work
from ropo_bench.terminal.console import Screen

_LIVE_SECONDS = 0.1  # at most one redraw of a row in this time
_PLAIN_SECONDS = 5.0  # at most one line of a stage in this time
_WATCH_SECONDS = 1.0  # whoever watches is told at most once in this time


def _now() -> float:
    return time.monotonic()


def duration_text(seconds: float) -> str:
    """7.7 s, 1:05 min, 2:03:09 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


def _rate_text(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def _column(field: str) -> rich_progress.TextColumn:
    return rich_progress.TextColumn(f"{{task.fields[{field}]}}", markup=False)


class Bar:
    """One running stage: how far it is, how fast, and how long it will take."""

    def __init__(self, owner: Progress, names: tuple[str, str, str], total: int | None, start: int, unit: str):
        self.names = names
        self.total = total
        self.step = start
        self.start = start
        self.unit = unit
        self.tokens = 0
        self.started_at = self.shown_at = self.watched_at = _now()
        self.task: rich_progress.TaskID | None = None
        self._owner = owner

    @property
    def label(self) -> str:
        """Stage, method and seed in one line."""
        return " ".join(name for name in self.names if name)

    @property
    def seconds(self) -> float:
        """Time since the stage began in this process."""
        return _now() - self.started_at

    def update(self, step: int, tokens: int = 0) -> None:
        """Tell that `step` steps are done in all, and `tokens` more tokens since the last update."""
        self.step = step
        self.tokens += tokens
        if _now() - self.watched_at >= _WATCH_SECONDS:
            self.watched_at = _now()
            self._owner.watch(self)
        if _now() - self.shown_at >= (_LIVE_SECONDS if self._owner.live else _PLAIN_SECONDS):
            self.shown_at = _now()
            self._owner.show(self)

    def count_text(self) -> str:
        """Done of all, such as 20/60."""
        return f"{self.step:,}" if self.total is None else f"{self.step:,}/{self.total:,}"

    def speed_text(self) -> str:
        """Tokens a second where tokens are told, else steps (or the stage's unit); empty before the first."""
        done = self.tokens or self.step - self.start
        if done <= 0 or self.seconds <= 0:
            return ""
        return f"{_rate_text(done / self.seconds)} {'tokens' if self.tokens else self.unit}/s"

    def left_text(self) -> str:
        """The time left at the speed so far; empty where it cannot be told."""
        done = self.step - self.start
        if self.total is None or done <= 0:
            return ""
        return f"{duration_text(self.seconds / done * (self.total - self.step))} left"


class Progress:
    """Shows the stages of a command on stderr (so that stdout holds only results), for the time of a `with`.

    On a terminal the running stages are live rows, and finished ones lines above them. Otherwise each stage
    says when it begins and ends, and every 5 s how far it is.

    with Progress() as progress, progress.stage("train", "ropo", seed=0, total=60) as bar:
        bar.update(1, tokens=2048)
    """

    def __init__(self, stream: TextIO | None = None, width: int | None = None) -> None:
        self._console = Screen(file=stream or sys.stderr, width=width, highlight=False)
        self._cached: dict[str, list[str]] = {}
        self.watch: Callable[[Bar], None] = lambda bar: None
        """Told when a stage begins, and every second how far it is."""
        self.live: rich_progress.Progress | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self.live = rich_progress.Progress(
                *[_column(name) for name in ("stage", "method", "seed")],
                rich_progress.BarColumn(bar_width=24),
                *[_column(name) for name in ("count", "speed", "left")],
                console=self._console,
                transient=True,
                refresh_per_second=4,
                redirect_stdout=sys.stdout.isatty(),  # a pipe behind stdout must get what is printed
            )

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._tell_cached()
        if self.live:
            self.live.stop()

    @contextmanager
    def stage(
        self,
        stage: str,
        method: str,
        *,
        seed: int | None = None,
        total: int | None = None,
        start: int = 0,
        unit: str = "steps",
    ) -> Iterator[Bar]:
        """Show one stage while the body runs; total and start (a resumed stage) count in units of `unit`."""
        bar = Bar(self, (stage, method, "" if seed is None else f"seed {seed}"), total, start, unit)
        self.watch(bar)
        if self.live:
            self._tell_cached()
            bar.task = self.live.add_task("", total=total, completed=start, **self._fields(bar))
        else:
            resumed = f", from {start:,}" if start else ""
            self._line(f"{bar.label}: begins" + (f" ({total:,} {unit}{resumed})" if total else ""))
        try:
            yield bar
        except BaseException as error:
            note_work(error, bar.label)
            word = "failed" if isinstance(error, Exception) else "interrupted"
            self._end(bar, f"{word} at {bar.count_text()}, after {duration_text(bar.seconds)}", "red")
            raise
        speed = f", {bar.speed_text()}" if bar.speed_text() else ""
        self._end(bar, f"done in {duration_text(bar.seconds)}{speed}", "green")

    def cached(self, stage: str, method: str) -> None:
        """Tell that a stage was finished before; many of them are told in one line."""
        methods = self._cached.setdefault(stage, [])
        if method not in methods:
            methods.append(method)

    def note(self, text: str) -> None:
        """Print one line."""
        self._line(text)

    def show(self, bar: Bar) -> None:
        """Show how far a stage is; Bar calls it, at a limited rate."""
        if self.live and bar.task is not None:
            self.live.update(bar.task, completed=bar.step, **self._fields(bar))
        else:
            parts = [part for part in (bar.count_text(), bar.speed_text(), bar.left_text()) if part]
            self._line(f"{bar.label}: {', '.join(parts)}")

    @staticmethod
    def _fields(bar: Bar) -> dict[str, Any]:
        stage, method, seed = bar.names
        counts = {"count": bar.count_text(), "speed": bar.speed_text(), "left": bar.left_text()}
        return {"stage": stage, "method": method, "seed": seed, **counts}

    def _end(self, bar: Bar, text: str, style: str) -> None:
        if self.live and bar.task is not None:
            self.live.remove_task(bar.task)
        self._line(f"{bar.label}: {text}", style)

    def _tell_cached(self) -> None:
        if self._cached:
            texts = ", ".join(f"{stage} ({', '.join(methods)})" for stage, methods in self._cached.items())
            self._cached = {}
            self._line(f"done before: {texts}", "dim")

    def _line(self, text: str, style: str = "") -> None:
        self._tell_cached()
        self._console.print(Text(text, style=style), soft_wrap=self.live is None)
