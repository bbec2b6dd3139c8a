"""Standard output and error where they cannot take what is printed, and the end of a process in spite of them."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import select
import signal
import sys
from typing import NoReturn

from ropo_bench.errors.signals import SIGNALS

CLOSED = 128 + signal.SIGPIPE


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
    for number in SIGNALS:  # the interpreter's end would give them back their defaults, and the code would be lost
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)
