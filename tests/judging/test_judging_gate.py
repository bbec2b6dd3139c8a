"""The gate before an endpoint: its limit, its pauses and its pace, on a real event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ropo_bench.judging.concurrency import START, Gate, backoff


def run(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 10))  # type: ignore[arg-type]


async def round_trip(gate: Gate, troubles: int = 0, answers: int | None = None) -> list[bool]:
    """As many requests as the limit allows go out together and come back, the troubled ones last."""
    number = int(gate.limit)
    answers = number - troubles if answers is None else answers
    started = [await gate.enter() for _ in range(number)]
    await asyncio.sleep(0.001)  # so that the next round starts later than this one is cut
    results = []
    for i, at in enumerate(started):
        answered = i < answers
        results.append(gate.came_back(at, answered=answered, trouble=not answered and i >= number - troubles))
        gate.leave()
    return results


async def ask_always(gate: Gate, number: int) -> list[float]:
    """`number` answered requests, as many at a time as the gate lets through; the limit after each answer."""
    limits = []

    async def one() -> None:
        at = await gate.enter()
        await asyncio.sleep(0.01)
        gate.came_back(at, answered=True, trouble=False)
        gate.leave()
        limits.append(gate.limit)

    await asyncio.gather(*(one() for _ in range(number)))
    return limits


def test_the_limit_doubles_until_the_first_trouble_and_grows_by_an_eighth_after_it() -> None:
    async def body() -> None:
        gate = Gate(64)
        assert (await ask_always(gate, 150))[:40] == [*range(START + 1, 65), *[64] * 8]
        await round_trip(gate, troubles=64)
        assert 32 <= gate.limit < 64
        gate.limit = 32.0
        limits = await ask_always(gate, 200)
        assert 38 < limits[31] < 40  # + 8 a round trip, reckoned answer by answer
        assert limits == sorted(limits)

    run(body)


def test_a_limit_that_is_not_reached_does_not_grow() -> None:
    async def body() -> None:
        gate = Gate(64)
        for _ in range(10):
            await ask_always(gate, 10)
        assert gate.limit == START

    run(body)


@pytest.mark.parametrize(("troubles", "limit"), [(16, 56.0), (32, 48.0), (64, 32.0)])
def test_the_cut_is_half_the_share_of_trouble(troubles: int, limit: float) -> None:
    async def body() -> None:
        gate = Gate(64)
        gate.limit = 64.0
        await round_trip(gate, troubles=troubles)
        assert gate.limit == limit

    run(body)


def test_random_trouble_leaves_the_limit_at_its_start_and_an_outage_takes_it_to_one() -> None:
    async def body() -> None:
        gate = Gate(64)
        for _ in range(20):
            await round_trip(gate, troubles=int(gate.limit * 0.4))
        assert gate.limit >= START
        silent = [any(await round_trip(gate, troubles=int(gate.limit))) for _ in range(8)]
        assert all(silent[:3])
        assert gate.limit == 1

    run(body)


def test_requests_sent_before_a_cut_do_not_cut_again() -> None:
    async def body() -> None:
        gate = Gate(8)
        early = [await gate.enter() for _ in range(8)]
        await asyncio.sleep(0.001)
        for _ in range(2):
            for at in early:
                gate.came_back(at, answered=False, trouble=True)
        assert gate.limit == 4

    run(body)


def test_never_more_in_flight_than_allowed_and_first_come_first_served() -> None:
    async def body() -> None:
        gate, order, most = Gate(5), [], 0

        async def one(number: int) -> None:
            nonlocal most
            at = await gate.enter()
            order.append(number)
            most = max(most, gate.in_flight)
            await asyncio.sleep(0.001)
            gate.came_back(at, answered=True, trouble=False)
            gate.leave()

        await asyncio.gather(*map(one, range(40)))
        assert most == 5
        assert order == list(range(40))
        assert gate.in_flight == 0

    run(body)


def test_a_cancelled_waiter_leaves_its_place_to_others() -> None:
    async def body() -> None:
        gate = Gate(1)
        await gate.enter()
        waiting = asyncio.create_task(gate.enter())
        next_one = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        waiting.cancel()
        gate.leave()
        await next_one
        granted = asyncio.create_task(gate.enter())
        await asyncio.sleep(0)
        gate.leave()
        granted.cancel()  # after its place was given, before it could take it
        await asyncio.gather(granted, return_exceptions=True)
        assert gate.in_flight == 0

    run(body)


def test_a_pause_holds_everybody_and_the_pace_is_even() -> None:
    async def body() -> None:
        loop, gate = asyncio.get_running_loop(), Gate(64)
        began = loop.time()
        gate.pause(0.2)
        gate.pause(0.1)  # a shorter one does not open it sooner
        await asyncio.gather(*(gate.enter() for _ in range(3)))
        assert 0.2 <= loop.time() - began < 1.0

        paced = Gate(64, requests_per_minute=6000)
        times = []
        for _ in range(40):
            times.append(await paced.enter())
            paced.leave()
        assert times[-1] - times[0] == pytest.approx(0.39 - 0.1, abs=0.09)  # the slack at the start is the 0.1
        assert times[39] - times[20] == pytest.approx(0.19, abs=0.05)

    run(body)


def test_backoff_doubles_within_its_bounds_and_is_seeded() -> None:
    for attempt in range(1, 12):
        longest = min(8.0, 0.5 * 2 ** (attempt - 1))
        seconds = backoff(attempt, "a", 8.0)
        assert longest / 2 <= seconds <= longest
        assert seconds == backoff(attempt, "a", 8.0) != backoff(attempt, "b", 8.0)
