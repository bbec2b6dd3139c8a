"""Mirror, then cache, then a real HTTP server on loopback; what is not as registered is never used."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ropo_bench.errors import StorageError, UsageError
from ropo_bench.sources.assets import Entry, cache_folder, fetch, find, read_bytes, use_mirror
from ropo_bench.sources.assets.lookup import verify

CONTENT = b'{"id": 1, "text": "caf\xc3\xa9"}\n' * 100
OFFICIAL = CONTENT + b"\n"


class Source(ThreadingHTTPServer):
    """Serves CONTENT under its name, and what a bad server sends under others; counts the requests."""

    daemon_threads = True
    requests = 0
    ended: threading.Event


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Source)
        self.server.requests += 1
        bodies = {
            "/good": CONTENT,
            "/official": OFFICIAL,
            "/other": CONTENT.replace(b"1", b"2"),
            "/short": CONTENT[:500],
            "/long": CONTENT * 2,
            "/torn": CONTENT[:500],
        }
        if self.path == "/silent":
            self.server.ended.wait(10)
            return
        body = bodies.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) if self.path == "/torn" else len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def source() -> Iterator[Source]:
    server = Source(("127.0.0.1", 0), Handler)
    server.ended = threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROPO_BENCH_ASSETS", raising=False)
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("ROPO_BENCH_ASSETS", str(folder))
    return folder


def entry(server: Source | None, path: str = "/good", change: str = "") -> Entry:
    """An entry of CONTENT; its source is the server's path, or nothing at all."""
    url = f"http://127.0.0.1:{server.server_port}{path}" if server else None
    return Entry(
        "set/items.jsonl", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "MIT", "a test", url, change=change
    )


def in_cache() -> list[Path]:
    """Every file that the cache holds, also what a failed download may have left."""
    return [path for path in cache_folder().rglob("*") if path.is_file()]


def test_a_download_is_kept_and_asked_for_once(source: Source) -> None:
    first, second = fetch(entry(source)), fetch(entry(source))
    assert first == second == cache_folder() / "set/items.jsonl"
    assert first.read_bytes() == CONTENT
    assert in_cache() == [first]
    assert source.requests == 1


@pytest.mark.parametrize("packed", [False, True])
def test_the_mirror_comes_first_plain_or_gzipped(source: Source, mirror: Path, packed: bool) -> None:
    fetch(entry(source))
    path = mirror / ("set/items.jsonl.gz" if packed else "set/items.jsonl")
    path.parent.mkdir()
    path.write_bytes(gzip.compress(CONTENT) if packed else CONTENT)
    assert find(entry(source)) == ("mirror", path)
    assert fetch(entry(source)) == path
    assert read_bytes(path) == CONTENT


def test_what_a_mirror_lacks_is_taken_from_the_cache_or_downloaded(source: Source, mirror: Path) -> None:
    assert find(entry(source)) is None
    assert fetch(entry(source)) == cache_folder() / "set/items.jsonl"
    assert find(entry(source)) == ("cache", cache_folder() / "set/items.jsonl")
    assert list(mirror.iterdir()) == []


def test_wrong_content_names_both_hashes_and_never_enters_the_cache(source: Source) -> None:
    wrong = hashlib.sha256(CONTENT.replace(b"1", b"2")).hexdigest()
    with pytest.raises(UsageError) as caught:
        fetch(entry(source, "/other"))
    message = str(caught.value)
    assert wrong in message
    assert hashlib.sha256(CONTENT).hexdigest() in message
    assert "\n" not in message
    assert in_cache() == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/short", "500 of 2700 bytes"),
        ("/torn", "500 of 2700 bytes"),
        ("/long", "more than 2700 bytes"),
        ("/none", "HTTP 404"),
    ],
)
def test_a_truncated_too_long_or_missing_file_is_refused(source: Source, path: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        fetch(entry(source, path))
    assert in_cache() == []


def test_offline_is_one_line_with_the_mend() -> None:
    closed = Source(("127.0.0.1", 0), Handler)
    closed.server_close()
    with pytest.raises(UsageError) as caught:
        fetch(entry(closed))
    message = str(caught.value)
    for part in ("set/items.jsonl", "ROPO_BENCH_ASSETS is not set", str(cache_folder()), "refused", "--assets DIR"):
        assert part in message
    assert "\n" not in message


def test_a_server_that_says_nothing_is_given_up(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropo_bench.sources.assets.download.STALL_SECONDS", 0.2)
    with pytest.raises(UsageError, match="timed out"):
        fetch(entry(source, "/silent"))


def test_a_file_made_from_its_source_is_not_downloaded(source: Source) -> None:
    with pytest.raises(UsageError, match="only half of the rows"):
        fetch(entry(source, change="only half of the rows"))
    assert source.requests == 0


def test_the_official_file_is_accepted_in_its_place_wherever_it_lies(source: Source, mirror: Path) -> None:
    twin = Entry(
        "set/items.jsonl",
        hashlib.sha256(CONTENT).hexdigest(),
        len(CONTENT),
        "MIT",
        "a test",
        None,
        change="reconstructed",
        official_source=f"http://127.0.0.1:{source.server_port}/official",
        official_sha256=hashlib.sha256(OFFICIAL).hexdigest(),
    )
    assert fetch(twin).read_bytes() == OFFICIAL
    for content in (CONTENT, OFFICIAL):
        path = mirror / "set/items.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        assert fetch(twin) == path


@pytest.mark.parametrize("packed", [False, True])
def test_a_changed_mirror_file_is_an_error_even_after_it_was_right(mirror: Path, packed: bool) -> None:
    path = mirror / ("set/items.jsonl.gz" if packed else "set/items.jsonl")
    path.parent.mkdir()
    path.write_bytes(gzip.compress(CONTENT) if packed else CONTENT)
    verify(entry(None), path)
    other = CONTENT.replace(b"1", b"2")
    path.write_bytes(gzip.compress(other) if packed else other)
    os.utime(path, ns=(1, 1))
    with pytest.raises(UsageError, match=hashlib.sha256(other).hexdigest()):
        fetch(entry(None))


def test_a_torn_gzip_file_is_an_error(mirror: Path) -> None:
    path = mirror / "set/items.jsonl.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(os.urandom(4096))[:1000])
    with pytest.raises(UsageError, match="not a whole gzip file"):
        fetch(entry(None))


def test_a_mirror_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPO_BENCH_ASSETS", "")
    with pytest.raises(UsageError, match="no such folder"):
        use_mirror(tmp_path / "nowhere")


def test_an_unwritable_cache_is_a_storage_error(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="ROPO_BENCH_CACHE"):
        fetch(entry(source))


def test_the_cache_follows_the_users_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "cache" / "assets"
    monkeypatch.delenv("ROPO_BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "ropo-bench" / "assets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "ropo-bench" / "assets"
