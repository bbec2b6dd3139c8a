"""Bounded readers of what others wrote: no text is expanded, nested or counted without end.

Every function raises ValueError with a reason in words; the callers name the file, the place and the mend.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

MAX_FILE_BYTES = 512 << 20
"""Of one input file, uncompressed: a data set of 60,000 long pairs has 300 MiB."""
MAX_DEPTH = 64
"""Levels of lists and mappings in JSON; the deepest known format has nine."""
MAX_INTEGER = 1 << 63
"""Whole numbers beyond it fit no counter, and no float holds them."""
MAX_SEEDS = 1000
"""Seeds a method: more would not be finished, and a typing error is likelier."""
GZIP = b"\x1f\x8b"


def read_bounded(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """A file's bytes, of devices and pipes too; raises OSError, and ValueError beyond the limit."""
    with path.open("rb") as file:
        return _read(file, limit, "has")


def gunzip(data: bytes, limit: int = MAX_FILE_BYTES) -> bytes:
    """Gzipped bytes uncompressed, never holding more than the limit; ValueError also where they are not whole."""
    try:
        with gzip.open(io.BytesIO(data)) as file:
            return _read(file, limit, "expands to")
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"not a whole gzip file ({error})") from None


def _read(file: IO[bytes] | gzip.GzipFile, limit: int, verb: str) -> bytes:
    """All of a file, piece by piece: asked for the limit at once, Python would take that much memory first."""
    data = bytearray()
    while piece := file.read(1 << 20):
        data += piece
        if len(data) > limit:
            raise ValueError(f"{verb} more than {_mib(limit)}")
    return bytes(data)


def parse_json(text: str | bytes, infinite: bool = False) -> Any:
    """JSON as plain data; ValueError for other text, too many levels, and numbers that nothing can hold.

    NaN is read as Python writes it. The infinities are refused unless asked for (in files of our own), and so are
    numbers that overflow to them.
    """
    try:
        constant = float if infinite else _constant
        value = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=constant)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    brackets = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    if brackets > MAX_DEPTH:
        check_depth(value)
    return value


def check_unicode(*texts: str) -> None:
    """Raise ValueError for half of a character (a surrogate without its pair): no tokenizer and no file takes it."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise ValueError("text with half a surrogate pair, which is no valid Unicode") from None


def check_depth(value: Any, limit: int = MAX_DEPTH) -> None:
    """Raise ValueError where lists and mappings are nested deeper than the limit; without recursion."""
    level = [value]
    for _ in range(limit + 1):
        inner = [list(part.values()) if isinstance(part, dict) else part for part in level]
        level = [item for part in inner if isinstance(part, list) for item in part if isinstance(item, list | dict)]
        if not level:
            return
    raise ValueError(f"nested more than {limit} deep")


def check_types(kind: Any, value: Any) -> None:
    """Raise ValueError where plain data is not of a type, such as a dataclass; keys beyond its fields are ignored."""
    try:
        TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def dump_json(value: Any, indent: int | None = 1) -> str:
    """Plain data as JSON that every program reads: NaN and the infinities, which JSON does not have, become null."""
    return json.dumps(finite_json(value), indent=indent, ensure_ascii=False, allow_nan=False)


def finite_json(value: Any) -> Any:
    """Plain data with None for every number that JSON does not have, and lists for tuples."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite_json(item) for key, item in value.items()}
    return [finite_json(item) for item in value] if isinstance(value, list | tuple) else value


def read_shards(index: Path) -> list[str]:
    """Names of the files that hold a model's tensors, from its index; raises OSError or ValueError."""
    content = parse_json(read_bounded(index))
    check_types(dict[str, Any], content)
    check_types(dict[str, str], content.get("weight_map"))
    return sorted(set(content["weight_map"].values()))


def read_csv(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row, however long a cell is; ValueError for what is no CSV."""
    csv.field_size_limit(MAX_FILE_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def _integer(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) > MAX_INTEGER:
        raise ValueError(f"a number is too large: {text[:20]}...")
    return number


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"a number is too large: {text[:20]}")
    return number


def _constant(text: str) -> float:
    if text != "NaN":
        raise ValueError(f"{text} is no number")
    return float("nan")


def _mib(limit: int) -> str:
    return f"{limit / (1 << 20):g} MiB"
