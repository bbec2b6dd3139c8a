"""The two doors of a process: signals that end it, and streams that cannot take what is printed.

A signal asks the running work to stop by raising Interrupted in it. Work that does not hear (native code, an import
that swallows every exception, a farewell to others) is ended soon after: everything finished is on the disk by then,
as a killed process leaves it.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

PATIENCE_SECONDS = 1.2
"""From a signal to the end of a process that did not stop by itself."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "asked to stop (SIGTERM)",
    signal.SIGHUP: "the terminal is gone (SIGHUP)",
}
KEPT = "what was finished is kept, the same command goes on from there"
CLOSED = 128 + signal.SIGPIPE
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


def escape_unprintable() -> None:
    """Print characters that a stream's encoding lacks as JSON escapes (\\u00e9): no crash, and JSON stays JSON."""
    codecs.register_error("json-escape", _json_escape)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="json-escape")


def _json_escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    escapes = [f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)]
    return "".join(escapes), error.end


def is_output_closed(error: BaseException) -> bool:
    """Whether an error means that nobody reads standard output or error any more, as behind `| head`."""
    return isinstance(error, BrokenPipeError) and any(_is_closed(descriptor) for descriptor in (1, 2))


def _is_closed(descriptor: int) -> bool:
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
    except OSError:
        return True


def is_output_full(error: BaseException) -> bool:
    """Whether an error is a full disk (or a broken one) behind standard output: no file has a name then."""
    return (
        isinstance(error, OSError)
        and error.filename is None
        and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
    )


def leave(code: int, line: str = "") -> NoReturn:
    """End the process with an exit code and a last line on standard error, whatever has become of the streams."""
    if line:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            print(line, file=sys.stderr, flush=True)
    # What a broken stream still holds must not be tried again, and complained of, by the interpreter's end.
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    if code - 128 in SIGNALS:  # libraries take seconds to be taken down, and there is nothing left to keep
        os._exit(code)
    sys.exit(code)
