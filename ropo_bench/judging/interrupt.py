"""Ctrl-C while requests are on their way."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from types import FrameType


def run_until_interrupted(work: Coroutine[object, object, None]) -> None:
    """`asyncio.run`, in which Ctrl-C cancels the work and then does what it did before.

    A handler that raises would do so inside whichever task runs just then, and asyncio would keep the exception as
    that task's result: the request would count as failed and the others would go on.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        asyncio.run(work)
        return
    pressed = False
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)

        def cancel(number: int, frame: FrameType | None) -> None:
            nonlocal pressed
            pressed = True
            loop.call_soon_threadsafe(task.cancel)

        signal.signal(signal.SIGINT, cancel)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            if not pressed:
                raise
        finally:
            signal.signal(signal.SIGINT, before)
    if pressed:
        before(signal.SIGINT, None)
