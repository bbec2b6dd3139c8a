"""Bytes of a preference file become records, within limits that no honest file meets."""

from __future__ import annotations

import io
import json
from typing import Any

from ropo_bench.preferences.malformed import MalformedError
from ropo_bench.store import bounded

Rows = list[tuple[int, Any]]  # record number from 1 (a line's number in .jsonl) and record, or why it is none

# A file may unpack to the larger of 64 MiB and 100 times its size (text of preference data packs 3 to 20 times).
MIN_LIMIT_BYTES = 64 << 20
MAX_RATIO = 100
_BATCH_ROWS = 1024


def unpacked_limit(num_bytes: int) -> int:
    """How many bytes a compressed file of num_bytes may unpack to."""
    return max(MIN_LIMIT_BYTES, MAX_RATIO * num_bytes)


def gunzip(data: bytes) -> bytes:
    """The unpacked bytes of a gzip file; ValueError as soon as they are more than the limit."""
    return bounded.gunzip(data, unpacked_limit(len(data)))


def parquet_rows(data: bytes) -> Rows:
    """Records of a parquet file; ValueError for one that cannot be read or unpacks beyond the limit."""
    import pyarrow as arrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    limit, total = unpacked_limit(len(data)), 0
    rows: list[Any] = []
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise ValueError(f"has two columns of one name among {', '.join(names)}")
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            total += batch.nbytes
            if total > limit:
                raise ValueError(f"unpacks to more than {limit >> 20} MiB, {MAX_RATIO} times its size")
            rows += batch.to_pylist()
    except (arrow.ArrowException, OverflowError, NotImplementedError) as error:
        raise ValueError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    return list(enumerate(rows, start=1))


def json_rows(text: bytes) -> Rows:
    """Records of one JSON array or of JSON lines, whichever the first character says.

    A line that is no record is a MalformedError in its place; ValueError where the array is none.
    """
    if text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        try:
            return list(enumerate(json.loads(text, object_pairs_hook=_unique), start=1))
        except RecursionError:
            raise ValueError("is nested too deep") from None
        except MalformedError as error:
            raise ValueError(str(error)) from None
    return [(number, _json_line(line)) for number, line in enumerate(text.split(b"\n"), start=1) if line.strip()]


def _json_line(line: bytes) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_unique)
    except UnicodeDecodeError:
        return MalformedError("is not UTF-8 text")
    except RecursionError:
        return MalformedError("is JSON nested too deep")
    except MalformedError as error:
        return error
    except ValueError as error:
        return MalformedError(f"is no valid JSON ({error})")


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; MalformedError where a key stands twice, because one of its values would be lost."""
    content = dict(items)
    if len(content) < len(items):
        names = [name for name, _ in items]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedError(f"has the key {twice[:40]!r} twice")
    return content
