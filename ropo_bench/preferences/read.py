"""Preference pairs from a local file or a hub data set."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ropo_bench.errors import UsageError
from ropo_bench.preferences.formats import MalformedError, pair_of
from ropo_bench.types import Pair

MAX_LEFT_OUT = 0.01  # of the records; more is a data set that is not what the user thinks it is
_HUB = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(:(?P<split>\w+))?")
_SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")

Rows = list[tuple[int, Any]]  # record number from 1 (a line's number in .jsonl) and record, or why it is none


class LeftOut(NamedTuple):
    """A record that is not used, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class PairsFile:
    """The usable pairs of a source in their order.

    sha256: of the file's bytes as they lie on disk; of a hub data set, of its records as sorted JSON.
    """

    pairs: list[Pair]
    left_out: list[LeftOut]
    sha256: str
    source: str


def read_pairs(source: str | Path) -> PairsFile:
    """Pairs of a .jsonl, .json (both also .gz) or .parquet file, or hub data `owner/name[@revision][:split]`.

    Ids are the records' own where all have one and no two are alike, else record numbers (in .jsonl: line
    numbers). Records that are no pair, or whose chosen and rejected do not share their prompt, are left out
    with the reason. UsageError: no such file, unreadable, empty, or more than 1 % of the records left out.
    """
    path = Path(source)
    rows, sha256 = _read_file(path) if path.is_file() else _read_hub(str(source))
    if not rows:
        raise UsageError(f"{source}: holds no preference pairs; give a file with one record a pair")
    ids = _ids(rows)
    pairs: list[Pair] = []
    left_out: list[LeftOut] = []
    for id, (_, record) in zip(ids, rows, strict=True):
        try:
            if isinstance(record, MalformedError):
                raise record
            pairs.append(pair_of(record, id))
        except MalformedError as reason:
            left_out.append(LeftOut(id, str(reason)))
    if len(left_out) > MAX_LEFT_OUT * len(rows):
        first = "; ".join(f"pair {one.id}: {one.reason}" for one in left_out[:3])
        more = f"; and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        raise UsageError(
            f"{source}: {len(left_out)} of {len(rows)} records are no usable pair, more than 1 %"
            f" ({first}{more}); mend or remove them"
        )
    return PairsFile(pairs, left_out, sha256, str(source))


def _ids(rows: Rows) -> list[str]:
    own = [record.get("id") for _, record in rows if isinstance(record, dict)]
    usable = all(isinstance(id, str | int) and str(id) for id in own) and len(set(map(str, own))) == len(own)
    if not usable:
        return [str(number) for number, _ in rows]
    return [str(record["id"]) if isinstance(record, dict) else f"line {number}" for number, record in rows]


def _read_file(path: Path) -> tuple[Rows, str]:
    if not path.name.endswith(_SUFFIXES):
        raise UsageError(f"{path}: not a known kind of file; preference data is {', '.join(_SUFFIXES)}")
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        rows = _parquet_rows(data) if path.suffix == ".parquet" else _json_rows(text)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        detail = str(error) or type(error).__name__
        raise UsageError(f"{path}: cannot be read ({detail}); fetch or write the file again") from error
    return rows, hashlib.sha256(data).hexdigest()


def _parquet_rows(data: bytes) -> Rows:
    from pyarrow import parquet  # type: ignore[import-untyped]

    return list(enumerate(parquet.read_table(io.BytesIO(data)).to_pylist(), start=1))


def _json_rows(text: bytes) -> Rows:
    """Records of one JSON array or of JSON lines, whichever the first character says."""
    if text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return list(enumerate(json.loads(text), start=1))
    return [(number, _json_line(line)) for number, line in enumerate(text.split(b"\n"), start=1) if line.strip()]


def _json_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except UnicodeDecodeError:
        return MalformedError("is not UTF-8 text")
    except ValueError as error:
        return MalformedError(f"is no valid JSON ({error})")


def _read_hub(source: str) -> tuple[Rows, str]:
    match = _HUB.fullmatch(source)
    if Path(source).is_dir():
        raise UsageError(f"{source}: is a folder; give one of its files ({', '.join(_SUFFIXES)})")
    if match is None or source.endswith(_SUFFIXES):
        raise UsageError(f"{source}: no such file; give a preference file or a hub id owner/name[@revision][:split]")
    import datasets

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it prints a line a retry when offline

    try:
        data = datasets.load_dataset(match["id"], revision=match["revision"], split=match["split"] or "train")
    except Exception as error:  # the hub's client has no common base for being offline, absent or gated
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{source}: no such file, and the hub data set cannot be loaded ({detail});"
            " check the name, revision and split, or download it and give the local file"
        ) from error
    records = list(data)
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record, sort_keys=True, default=str).encode() + b"\n")
    return list(enumerate(records, start=1)), digest.hexdigest()
