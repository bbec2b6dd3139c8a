"""Scores as numbers: a JSON line an item, without any text, in one file that is the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ropo_bench.errors import StorageError
from ropo_bench.store.bounded import gunzip, parse_json
from ropo_bench.types import Score

DETAILS = ("category", "difficulty", "kind", "length_delta", "task", "turn")
"""What estimators and reports read of a score's detail: numbers, and words that name a group."""

ScoresOf = Mapping[str, Mapping[str, Sequence[Sequence[Score]]]]
"""Task -> row -> its scores, one sequence a seed."""

_ID = re.compile(r"\S{1,120}")
_WORD = re.compile(r"[\w .&-]{0,40}")


def numbers_only(score: Score) -> Score:
    """The score without texts: ids that are none become hashes, and of its detail only DETAILS are kept."""
    detail = {key: score.detail[key] for key in DETAILS if key in score.detail and _is_plain(score.detail[key])}
    return Score(_id(score.item), _id(score.cluster), score.metric, score.value, score.status, detail)


def _id(text: str) -> str:
    return text if _ID.fullmatch(text) else f"sha256-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and _WORD.fullmatch(value) is not None)


def published_scores(scores: ScoresOf, metrics: Mapping[str, Collection[str]]) -> ScoresOf:
    """Those metrics of each task that its columns show, as numbers only; the scorer's order, which some fits need."""
    return {
        task: {
            row: [[numbers_only(score) for score in seed if score.metric in metrics[task]] for seed in by_seed]
            for row, by_seed in rows.items()
        }
        for task, rows in scores.items()
    }


def to_bytes(scores: ScoresOf) -> bytes:
    """The file: a line for each item of a task and metric, with what every row got in every seed.

    Sorted by task; items as they first come, so that each row keeps its scorer's order. An entry is a value, or an
    object where it has a status or a detail of its own; null where a seed has no such item.
    """
    lines = [line for task in sorted(scores) for line in _lines(task, scores[task])]
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, compresslevel=9, mtime=0) as file:
        for line in lines:
            file.write(f"{json.dumps(line, ensure_ascii=False, separators=(',', ':'))}\n".encode())
    return out.getvalue()


def _lines(task: str, rows: Mapping[str, Sequence[Sequence[Score]]]) -> Iterator[dict[str, Any]]:
    scores: dict[tuple[str, str, str, int], dict[tuple[str, int], Score]] = {}
    for row, by_seed in rows.items():
        for seed, group in enumerate(by_seed):
            times: Counter[tuple[str, str, str]] = Counter()
            for score in group:
                place = (score.metric, score.item, score.cluster)
                scores.setdefault((*place, times[place]), {})[row, seed] = score
                times[place] += 1
    for (metric, item, cluster, _), entries in scores.items():
        first, *others = [score.detail for score in entries.values()]
        shared = {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
        line = {"task": task, "metric": metric, "item": item} | ({"cluster": cluster} if cluster != item else {})
        by_row = {
            row: [_entry(entries.get((row, seed)), shared) for seed in range(len(by_seed))]
            for row, by_seed in rows.items()
        }
        yield line | ({"detail": shared} if shared else {}) | {"rows": by_row}


def _entry(score: Score | None, shared: Mapping[str, Any]) -> Any:
    if score is None:
        return None
    own = {key: value for key, value in score.detail.items() if key not in shared}
    if not own and score.status == "scored":
        return score.value
    return {"value": score.value} | ({"status": score.status} if score.status != "scored" else {}) | own


def from_bytes(data: bytes, where: str) -> ScoresOf:
    """The scores of such a file; raises StorageError where it is none."""
    by_task: dict[str, dict[str, list[list[Score]]]] = {}
    try:
        for text in gunzip(data).decode().splitlines():
            line = parse_json(text)
            item, detail = line["item"], line.get("detail", {})
            for row, entries in line["rows"].items():
                by_seed = by_task.setdefault(line["task"], {}).setdefault(row, [[] for _ in entries])
                for group, entry in zip(by_seed, entries, strict=True):
                    if entry is not None:
                        own = dict(entry) if isinstance(entry, dict) else {"value": entry}
                        value, status = own.pop("value"), own.pop("status", "scored")
                        cluster = line.get("cluster", item)
                        group.append(Score(item, cluster, line["metric"], value, status, {**detail, **own}))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{where}: not a file of scores ({type(error).__name__}: {error})") from error
    return by_task
