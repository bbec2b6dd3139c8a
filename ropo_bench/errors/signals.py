"""Signals that end a process.

A signal asks the running work to stop by raising Interrupted in it. Work that does not hear (native code, an import
that swallows every exception, a farewell to others) is ended soon after: everything finished is on the disk by then,
as a killed process leaves it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType

PATIENCE_SECONDS = 1.2
"""From a signal to the end of a process that did not stop by itself."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "asked to stop (SIGTERM)",
    signal.SIGHUP: "the terminal is gone (SIGHUP)",
}
KEPT = "what was finished is kept, the same command goes on from there"
_SHOW_CURSOR = "\x1b[?25h"


class Interrupted(BaseException):
    """A signal to stop, under a name that the command-line library does not turn into its own exit code."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal, as shells say it: 130, 143, 129."""
        return 128 + self.number

    def line(self) -> str:
        """What the user is told."""
        return interrupted_line(self.number)


def interrupted_line(number: int) -> str:
    """The line about a signal that ended the process."""
    return f"{WORDS[signal.Signals(number)]}: {KEPT}"


def watch_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP end this process, in order where that is quick, else in any case.

    Calling it twice does nothing more. A SIGHUP that was ignored when the process began (nohup) stays ignored.
    """
    if signal.getsignal(signal.SIGTERM) is _raise_interrupted:
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, _raise_interrupted)
    os.register_at_fork(after_in_child=lambda: _forget(heard))
    # The interpreter writes a signal's number here at once, even while the main thread is in native code.
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_end_after, args=(reading,), daemon=True, name="signals").start()


def _raise_interrupted(number: int, frame: FrameType | None) -> None:
    for other in SIGNALS:  # one is enough: a second must not tear the farewell that the first began
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(number)


def _forget(heard: Sequence[signal.Signals]) -> None:
    """In a forked child: a signal to it alone must not end its parent."""
    signal.set_wakeup_fd(-1)
    for number in heard:
        signal.signal(number, signal.SIG_DFL)


def _end_after(reading: int) -> None:
    number = 0
    while number not in SIGNALS:
        number = os.read(reading, 1)[0]
    time.sleep(PATIENCE_SECONDS)
    cursor = _SHOW_CURSOR if os.isatty(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{cursor}{interrupted_line(number)}\n".encode())
    os._exit(128 + number)
