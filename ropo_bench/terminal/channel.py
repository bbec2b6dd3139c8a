"""What a worker process and the process that started it say to each other: JSON lines, and the end of either."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable

Tell = Callable[..., None]


def open_channel() -> Tell:
    """Keep standard output for messages: tell(step=1) writes {"step": 1} to whoever started this process.

    Whatever else is printed goes to standard error.
    """
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # it must not be taken for a message
    lock = threading.Lock()

    def tell(**message: object) -> None:
        with lock:
            channel.write(json.dumps(message) + "\n")
            channel.flush()

    return tell


def end_with_parent(whole_group: bool = False) -> None:
    """From now on the end of standard input, which is the end of the parent, ends this process too.

    whole_group: and all processes of its group, which it must lead: what it started holds no device any longer.
    """

    def wait() -> None:
        sys.stdin.read()
        if whole_group and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
