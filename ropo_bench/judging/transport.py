"""What an endpoint may send: a body of bounded size, from the host that was asked, in no code of its own choice."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import AsyncIterator
from typing import Any

MAX_BODY_BYTES = 8 << 20  # of one answer, unpacked; the longest verdicts have some kilobytes
_GZIP_OR_ZLIB = 47  # zlib's window bits: it looks which of the two it is


class UnreadableBody(Exception):
    """A body that is too large, or packed in a way that was not asked for."""


def bounded_client(openai: Any, **options: Any) -> Any:
    """`openai`'s own HTTP client, which follows no redirect and reads no body beyond MAX_BODY_BYTES.

    A redirect would send prompts, and perhaps the key, to a host that nobody named. Bodies are asked for unpacked,
    since a packed one of a few kilobytes may hold gigabytes; one that comes packed all the same is unpacked as far as
    the bound.
    """
    http = importlib.import_module(_http_module(openai))  # httpx, or its successor in newer clients

    async def bound(response: Any) -> None:
        packing = response.headers.pop("content-encoding", "identity")
        stream = response.stream
        try:
            body = unpack(await _read(stream), packing)
        finally:
            await stream.aclose()
        response.headers["content-type"] = "application/json"  # a charset of the endpoint's could unpack again
        response.stream = http.ByteStream(body)

    return openai.DefaultAsyncHttpxClient(
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [bound]},
        **options,
    )


def _http_module(openai: Any) -> str:
    base = next(kind for kind in openai.DefaultAsyncHttpxClient.__mro__ if kind.__name__ == "AsyncClient")
    return str(base.__module__).partition(".")[0]


async def _read(stream: AsyncIterator[bytes]) -> bytes:
    parts, size = [], 0
    async for part in stream:
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise UnreadableBody(_too_large())
        parts.append(part)
    return b"".join(parts)


def unpack(body: bytes, packing: str) -> bytes:
    """A body as it was before it was packed; raises UnreadableBody beyond the bound and for an unknown packing."""
    packing = packing.strip().lower()
    if packing in ("", "identity"):
        return body
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise UnreadableBody(f"an answer packed as {packing[:40]!r}, which was not asked for")
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = unpacking.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise UnreadableBody(f"an answer that says it is {packing} and is not ({error})") from None
    if len(plain) > MAX_BODY_BYTES:
        raise UnreadableBody(_too_large())
    return plain


def _too_large() -> str:
    return f"an answer of more than {MAX_BODY_BYTES >> 20} MiB"
