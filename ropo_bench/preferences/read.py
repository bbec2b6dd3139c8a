"""Preference pairs from a local file or a hub data set."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ropo_bench.errors import UsageError
from ropo_bench.preferences.files import Rows, gunzip, json_rows, parquet_rows
from ropo_bench.preferences.formats import MalformedError, pair_of
from ropo_bench.preferences.keys import READ, unread_keys
from ropo_bench.preferences.marks import mark_in_pair, mark_in_value, refuse_special
from ropo_bench.types import Pair

MAX_LEFT_OUT = 0.01  # of the records; more is a data set that is not what the user thinks it is
_HUB = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(:(?P<split>\w+))?")
_SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")


class LeftOut(NamedTuple):
    """A record that is not used, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class PairsFile:
    """The usable pairs of a source in their order.

    sha256: of the file's bytes as they lie on disk; of a hub data set, of its records as sorted JSON. unread: key ->
    how many rows have a value under it that no pair reads. counts: what a user should know -> how many pairs.
    """

    pairs: list[Pair]
    left_out: list[LeftOut]
    sha256: str
    source: str
    unread: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


def read_pairs(source: str | Path, special_tokens: Collection[str] = ()) -> PairsFile:
    """Pairs of a .jsonl, .json (both also .gz) or .parquet file, or hub data `owner/name[@revision][:split]`.

    Ids are the records' own where all have one and no two are alike, else record numbers (in .jsonl: line
    numbers). Records that are no pair, or whose chosen and rejected do not share their prompt, are left out
    with the reason, and so are those whose texts hold one of special_tokens: the base model's tokenizer would read
    it as such. UsageError: no such file, unreadable, empty, or more than 1 % of the records left out.
    """
    path = Path(source)
    rows, sha256 = _read_file(path) if path.is_file() else _read_hub(str(source))
    if not rows:
        raise UsageError(f"{source}: holds no preference pairs; give a file with one record a pair")
    ids = _ids(rows)
    pairs: list[Pair] = []
    left_out: list[LeftOut] = []
    unread: Counter[str] = Counter()
    read_back = 0
    special = re.compile("|".join(map(re.escape, sorted(special_tokens, reverse=True)))) if special_tokens else None
    for id, (_, record) in zip(ids, rows, strict=True):
        try:
            if isinstance(record, MalformedError):
                raise record
            pair = pair_of(record, id)
            refuse_special(pair, special)
            pairs.append(pair)
            unread.update(unread_keys(record))
            read_back += _is_read_back(record, pair)
        except MalformedError as reason:
            left_out.append(LeftOut(id, str(reason)))
    if len(left_out) > MAX_LEFT_OUT * len(rows):
        first = "; ".join(f"pair {skipped.id}: {skipped.reason}" for skipped in left_out[:3])
        more = f"; and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        raise UsageError(
            f"{source}: {len(left_out)} of {len(rows)} records are no usable pair, more than 1 %"
            f" ({first}{more}); mend or remove them"
        )
    counts = _counts(pairs) | ({_READ_BACK: read_back} if read_back else {})
    return PairsFile(pairs, left_out, sha256, str(source), dict(sorted(unread.items())), counts)


_READ_BACK = "written by a chat template and read back into turns"


def _is_read_back(record: Mapping[str, Any], pair: Pair) -> bool:
    return any(mark_in_value(record.get(key)) for key in READ) and mark_in_pair(pair) is None


def _counts(pairs: list[Pair]) -> dict[str, int]:
    """What is odd but used, by its name; only what there is."""
    seen = Counter(
        (tuple(m["role"] + m["content"] for m in pair.prompt), pair.chosen, pair.rejected) for pair in pairs
    )
    counts = {
        "the same as an earlier one": len(pairs) - len(seen),
        "with equal chosen and rejected": sum(pair.chosen == pair.rejected for pair in pairs),
        "with an empty answer": sum(not (pair.chosen.strip() and pair.rejected.strip()) for pair in pairs),
        "with marks of some chat template in their text": sum(mark_in_pair(pair) is not None for pair in pairs),
    }
    return {name: count for name, count in counts.items() if count}


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
        text = gunzip(data) if path.suffix == ".gz" else data
        rows = parquet_rows(data) if path.suffix == ".parquet" else json_rows(text)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        detail = str(error) or type(error).__name__
        raise UsageError(f"{path}: cannot be read ({detail}); fetch or write the file again") from error
    return rows, hashlib.sha256(data).hexdigest()


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
