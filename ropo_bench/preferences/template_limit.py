"""A limit for chat templates, which are programs of whoever made the tokenizer and can loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MAX_SECONDS = 5.0  # of this process's CPU time; a chat takes about a millisecond


class RenderingTimeError(Exception):
    """A template did not end in time."""


@contextmanager
def bounded_rendering(seconds: float = MAX_SECONDS) -> Iterator[None]:
    """Raise RenderingTimeError inside the block once the process has used `seconds` of CPU time in it.

    CPU time: a busy machine does not make a template slow. Only in the main thread, where signals arrive; templates
    are first rendered there, by the checks before training.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise RenderingTimeError(f"it did not end within {seconds:g} s; a loop of it is too long")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
