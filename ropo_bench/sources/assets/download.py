"""One small public file by HTTP, whole or not at all."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request

STALL_SECONDS = 30.0  # without a byte
TOTAL_SECONDS = 600.0
MAX_BYTES = 64 << 20  # where the length is not known beforehand
_CHUNK_BYTES = 1 << 16


class Unreachable(Exception):
    """The file could not be received; the reason in a few words. offline: no server answered at all."""

    def __init__(self, reason: str, offline: bool = False) -> None:
        super().__init__(reason)
        self.offline = offline


def download(url: str, num_bytes: int | None = None) -> bytes:
    """The content behind a URL, `num_bytes` long where that is known; raises Unreachable."""
    request = urllib.request.Request(url, headers={"User-Agent": "ropo-bench", "Accept-Encoding": "identity"})
    content = bytearray()
    deadline = time.monotonic() + TOTAL_SECONDS
    try:
        with urllib.request.urlopen(request, timeout=STALL_SECONDS) as response:
            announced = response.headers["Content-Length"]
            expected = num_bytes if num_bytes is not None else int(announced) if announced else None
            most = MAX_BYTES if expected is None else expected
            while len(content) <= most and (chunk := response.read1(_CHUNK_BYTES)):
                content += chunk
                if time.monotonic() > deadline:
                    raise Unreachable(f"{len(content)} bytes after {TOTAL_SECONDS:.0f} s")
    except urllib.error.HTTPError as error:
        raise Unreachable(f"HTTP {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error  # urllib wraps what the socket said
        raise Unreachable(str(reason) or type(error).__name__, offline=not content) from error
    if len(content) > most or (expected is not None and len(content) < expected):
        size = f"more than {most}" if len(content) > most else f"{len(content)} of {expected}"
        raise Unreachable(f"{size} bytes came")
    return bytes(content)
