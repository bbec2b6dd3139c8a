"""A real HTTP server on loopback that speaks /v1/chat/completions, and fails on request.

Its answers are a function of the request's content alone, so a faulty run can be held against a healthy one:
a score like "Rating: [[7]]" or a verdict like "[[A]]" where the prompt asks for one, and "m" or "M" with
top_logprobs where log-probabilities are asked for. What goes wrong is a function of the request and of how
often it was asked before. It counts by request, which is what the laws of the judging runtime are about.

In a test:            with JudgeServer(latency=0.01, faults=Faults(throttled=0.2)) as server: ... server.url
As its own process:   python -m tests.judging.judge_server --latency 0.2        prints the URL; GET /stats counts;
                      it ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from tests.judging.judge_answers import GARBAGE, Body, Response, answer_text, completion, error_body, request_key

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


@dataclass(frozen=True)
class Faults:
    """Shares (0..1) of requests that go wrong, drawn from the request and how often it was asked.

    hanging requests get no answer within hang_seconds. broken connections end in the middle of an answer. After
    `dies_after` requests the server refuses connections for `dead_seconds`, once.
    """

    throttled: float = 0.0
    retry_after: str | None = "0.05"
    errors: float = 0.0
    hanging: float = 0.0
    hang_seconds: float = 20.0
    garbage: float = 0.0
    broken: float = 0.0
    dies_after: int | None = None
    dead_seconds: float = 1.0


@dataclass
class Counts:
    """What the server saw, by the request's key: sent = requests, answered = complete answers written.

    held_then_asked: requests for answers that the client was known to have (JudgeServer.hold).
    """

    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    answered_then_asked: Counter[str] = field(default_factory=Counter)
    held_then_asked: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0

    def plain(self) -> dict[str, Any]:
        """The totals as JSON."""
        return {
            "sent": self.sent.total(),
            "answered": self.answered.total(),
            "answered_then_asked": self.answered_then_asked.total(),
            "faults": dict(self.faults),
            "most_in_flight": self.most_in_flight,
        }


class JudgeServer:
    """The server, on a thread of its own; a context manager.

    latency: seconds from a request to its answer. text: the answer to a request body. respond: where given, sees
    every request first (body, headers in lower case) and returns a whole response, or None for the usual way.
    capacity: more requests in flight than that are answered 429 without a Retry-After.
    """

    def __init__(
        self,
        *,
        latency: float = 0.0,
        faults: Faults | None = None,
        text: Callable[[Body], str] = answer_text,
        respond: Callable[[Body, dict[str, str]], Response | None] | None = None,
        capacity: int | None = None,
    ) -> None:
        self.latency, self.faults, self.text, self.respond = latency, faults or Faults(), text, respond
        self.capacity = capacity
        self.counts = Counts()
        self.bodies: dict[str, Body] = {}
        self._held: set[str] = set()
        self.paths: set[str] = set()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._listener: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._requests = 0
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def hold(self, last_words: Iterable[str]) -> None:
        """Note that the client has the answers to requests whose prompts end in these words."""
        words = set(last_words)
        self._held |= {
            key for key, body in self.bodies.items() if body["messages"][-1]["content"].split()[-1] in words
        }

    async def _listen(self) -> None:
        self._listener = await self._loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self.port, backlog=1024
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    async def _die(self, seconds: float) -> None:
        self.counts.faults["hanging, then cut off"] += sum(connection.hangs for connection in self._connections)
        await self._close()
        await asyncio.sleep(seconds)
        await self._listen()

    def handle(self, connection: _Connection, body: Body, headers: dict[str, str]) -> None:
        """Count a request, decide its fate and answer it when its time has come."""
        key, counts, faults = request_key(body), self.counts, self.faults
        counts.sent[key] += 1
        counts.held_then_asked[key] += key in self._held
        counts.answered_then_asked[key] += counts.answered[key] > 0
        self.bodies.setdefault(key, body)
        self._requests += 1
        if self._requests == faults.dies_after:
            counts.faults["death"] += 1
            task = self._loop.create_task(self._die(faults.dead_seconds))
            connection.tasks.add(task)
            return
        response = self.respond(body, headers) if self.respond else None
        if response is not None:
            connection.answer_later(self.latency, response)
            return
        if self.capacity is not None and counts.in_flight >= self.capacity:
            counts.faults["over capacity"] += 1
            connection.answer_later(0, (429, {}, error_body("too many requests at once")))
            return
        fate = self._fate(key)
        if fate is not None:
            counts.faults[fate] += 1
        match fate:
            case "throttled":
                header = {} if faults.retry_after is None else {"Retry-After": faults.retry_after}
                connection.answer_later(
                    self.latency / 4, (429, header, error_body("slow down", "rate_limit_exceeded"))
                )
            case "errors":
                connection.answer_later(self.latency, (500, {}, error_body("the server had an error")))
            case "hanging":
                connection.hangs = True
                connection.answer_later(faults.hang_seconds, (500, {}, b""))
            case "garbage":
                connection.answer_later(self.latency, (200, {}, GARBAGE[counts.sent[key] % len(GARBAGE)]))
            case "broken":
                connection.answer_later(self.latency, None)
            case None:
                whole = json.dumps(completion(body, self.text(body))).encode()
                connection.answer_later(self.latency, (200, {}, whole), key)

    def _fate(self, key: str) -> str | None:
        draw = random.Random(f"{key} {self.counts.sent[key]}").random()
        for name in ("throttled", "errors", "hanging", "garbage", "broken"):
            draw -= getattr(self.faults, name)
            if draw < 0:
                return name
        return None


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time."""

    transport: asyncio.Transport

    def __init__(self, server: JudgeServer) -> None:
        self.server = server
        self.buffer = b""
        self.open = True
        self.hangs = False
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        self.server._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        method, path, _ = first.split(" ", 2)
        if method == "POST" and path.partition("?")[0].endswith("/chat/completions"):
            self.server.paths.add(path)
            self.server.handle(self, json.loads(rest[:length]), headers)
        elif path == "/stats":
            self._write((200, {}, json.dumps(self.server.counts.plain()).encode()))
        else:
            self._write((404, {}, error_body(f"no such path: {path}")))

    def answer_later(self, seconds: float, response: Response | None, key: str | None = None) -> None:
        """Answer after some seconds; None breaks the connection in the middle. key: the request it completes."""
        counts = self.server.counts
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        self.server._loop.call_later(seconds, self._answer, response, key)

    def _answer(self, response: Response | None, key: str | None) -> None:
        self.server.counts.in_flight -= 1
        if not self.open:
            return
        if response is None:
            self.transport.write(
                b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"id"'
            )
            self.transport.close()
            return
        self._write(response)
        if key is not None:
            self.server.counts.answered[key] += 1

    def _write(self, response: Response) -> None:
        status, headers, body = response
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()] + [f"Content-Length: {len(body)}"]
        self.transport.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0)
    with JudgeServer(latency=parser.parse_args().latency) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
