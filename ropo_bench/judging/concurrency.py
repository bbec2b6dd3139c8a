"""How many requests an endpoint bears: a limit that grows and is cut, pauses that the endpoint asks for, a pace.

Additive increase: an answer raises the limit by 1 before the first trouble (it doubles in a round trip), and by an
eighth of its maximum a round trip after it. Decrease in proportion to the trouble, as in DCTCP (Alizadeh et al.
2010, eq. 2): a round with a share a of trouble cuts the limit by a/2, at most once a round trip. So a dead or
overloaded endpoint halves it; one that fails at random, which fewer requests would not mend, leaves it at START.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque

START = 32  # in flight, if the judge allows as many
MIN_ROUND = 2  # results; with one request in flight each of them would be a round
BACKOFF_SECONDS = 0.5
CALL_BACKOFF_SECONDS = 4.0  # at most, for one call while the endpoint answers others
SILENT_BACKOFF_SECONDS = 30.0  # at most, for an endpoint that answers nothing
SLACK_SECONDS = 0.1  # of lateness that the pace makes up for


def backoff(attempt: int, seed: str, longest: float) -> float:
    """Seconds before attempt + 1 (attempt >= 1): doubling from BACKOFF_SECONDS, a seeded half of it jitter."""
    seconds = min(longest, BACKOFF_SECONDS * 2.0 ** min(attempt - 1, 30))
    return seconds * random.Random(f"{seed} {attempt}").uniform(0.5, 1.0)


class Gate:
    """Lets requests through in the order in which they came, as many as the endpoint bears.

    max_concurrency: requests in flight, never more. requests_per_minute: evenly spaced where given. Belongs to
    the running event loop.
    """

    def __init__(self, max_concurrency: int, requests_per_minute: int | None = None) -> None:
        self.max_concurrency = max_concurrency
        self.limit = float(min(START, max_concurrency))
        self.in_flight = 0
        self._growth = max(1.0, max_concurrency / 8)
        self._interval = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[float]] = deque()
        self._opens_at = self._paced_at = 0.0
        self._cut_at: float | None = None
        self._new_round()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self) -> float:
        """Wait for a place; returns the loop's time, which `came_back` wants."""
        place: asyncio.Future[float] = self._loop.create_future()
        self._waiting.append(place)
        self._admit()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back, whatever came of the request."""
        self.in_flight -= 1
        self._admit()

    def came_back(self, started: float, *, answered: bool, trouble: bool) -> bool:
        """Learn from the result of a request that entered at `started`, before it leaves.

        trouble: a sign of too many requests. Returns whether this ends a round without any answer. A round is as
        many results as there were requests in flight; those sent before the last cut tell nothing of the new limit.
        """
        if self._cut_at is not None and started < self._cut_at:
            self._answers += answered
            return False
        if answered and self._most_in_flight >= int(self.limit):  # else nobody knows whether more would do
            growth = 1.0 if self._cut_at is None else self._growth / self.limit
            self.limit = min(float(self.max_concurrency), self.limit + growth)
        self._results += 1
        self._answers += answered
        self._troubles += trouble
        if self._results < max(self._most_in_flight, MIN_ROUND):
            return False
        if self._troubles:
            share = self._troubles / self._results
            lowest = 1.0 if share > 0.5 else min(self.limit, START)
            self.limit = max(lowest, self.limit * (1 - share / 2))
            self._cut_at = self._loop.time()
        silent = self._answers == 0
        self._new_round()
        return silent

    def _new_round(self) -> None:
        self._results = self._answers = self._troubles = 0
        self._most_in_flight = self.in_flight

    def pause(self, seconds: float) -> None:
        """Let no request through for some seconds."""
        self._opens_at = max(self._opens_at, self._loop.time() + seconds)

    def _admit(self) -> None:
        while self._waiting and self.in_flight < int(self.limit):
            if self._waiting[0].done():  # cancelled
                self._waiting.popleft()
                continue
            now = self._loop.time()
            opens_at = max(self._opens_at, self._paced_at)
            if now < opens_at:
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = self._loop.call_at(opens_at, self._admit)
                return
            if self._interval:
                self._paced_at = max(self._paced_at, now - SLACK_SECONDS) + self._interval
            self.in_flight += 1
            self._most_in_flight = max(self._most_in_flight, self.in_flight)
            self._waiting.popleft().set_result(now)
