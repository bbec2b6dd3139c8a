"""alpaca_eval's file formats in and out: annotations (a JSON list) and leaderboards (CSV, one line a model)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.sources.assets import read_given
from ropo_bench.store import atomic_write_text
from ropo_bench.store.bounded import parse_json, read_csv


@dataclass(frozen=True, slots=True)
class Annotation:
    """One verdict: output_1 of generator_1 is the baseline's answer, output_2 of generator_2 the model's.

    preference: 1 (the baseline's is better) to 2 (the model's), 1.5 a tie; None was not judged. annotator: the
    judge, None where the record does not say.
    """

    instruction: str
    output_1: str
    generator_1: str
    output_2: str
    generator_2: str
    annotator: str | None
    preference: float | None


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """A model's line, named as in the file; win rates in percent, avg_length in characters, None where empty."""

    name: str
    win_rate: float | None = None
    standard_error: float | None = None
    n_wins: int | None = None
    n_wins_base: int | None = None
    n_draws: int | None = None
    n_total: int | None = None
    discrete_win_rate: float | None = None
    mode: str | None = None
    avg_length: int | None = None
    length_controlled_winrate: float | None = None
    lc_standard_error: float | None = None


COLUMNS = tuple(field.name for field in fields(LeaderboardRow))[1:]
_WHOLE = ("n_wins", "n_wins_base", "n_draws", "n_total", "avg_length")


def read_annotations(path: Path) -> list[Annotation]:
    """Annotations of one or several models, .json or .json.gz.

    A preference of 0 is a tie, as in old files; one that is missing, null, NaN or not within 1..2 is None. A
    model without generator_2 is called by its file. Raises UsageError naming the record that is none.
    """
    try:
        records = parse_json(_text(path))
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error}); give alpaca_eval's annotations.json, gzipped or not") from None
    if not isinstance(records, list) or not records:
        raise UsageError(f"{path}: not a list of annotations; give alpaca_eval's annotations.json, gzipped or not")
    name = path.name.removesuffix(".gz").removesuffix(".json")
    return [_annotation(record, f"{path}, record {number}", name) for number, record in enumerate(records)]


def write_annotations(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write what `read_annotations` and alpaca_eval read; unscored records have preference null."""
    records = [asdict(annotation) for annotation in annotations]
    atomic_write_text(path, json.dumps(records, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_leaderboard(path: Path) -> list[LeaderboardRow]:
    """A leaderboard, .csv or .csv.gz; columns that alpaca_eval does not write in version 2 are left out.

    Raises UsageError for a file without the column win_rate and for a number that is none.
    """
    try:
        lines = list(read_csv(_text(path)))
    except ValueError as error:
        raise UsageError(f"{path}: no CSV ({error}); give alpaca_eval's leaderboard.csv") from None
    header = lines[0][1] if lines else []
    if "win_rate" not in header[1:]:
        raise UsageError(f"{path}: has no column win_rate; give alpaca_eval's leaderboard.csv or annotations.json")
    rows = []
    for line, cells in lines[1:]:
        if not cells:
            continue
        record = dict(zip(header[1:], cells[1:], strict=False))
        try:
            rows.append(LeaderboardRow(cells[0], **{key: _cell(key, record.get(key)) for key in COLUMNS}))
        except ValueError as error:
            raise UsageError(f"{path}, line {line}: {error}; mend that line, or take the file again") from None
    return rows


def write_leaderboard(path: Path, rows: Sequence[LeaderboardRow]) -> None:
    """Write rows as alpaca_eval does, best first, by length-controlled win rate and then by win rate."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *COLUMNS])
    for row in sorted(rows, key=_rank):
        writer.writerow(["" if value is None else value for value in astuple(row)])
    atomic_write_text(path, text.getvalue())


def _rank(row: LeaderboardRow) -> tuple[float, float]:
    values = (row.length_controlled_winrate, row.win_rate)
    first, second = (math.inf if value is None else -value for value in values)
    return first, second


def _annotation(record: Any, where: str, name: str) -> Annotation:
    if not isinstance(record, Mapping):
        raise UsageError(f"{where}: {str(record)[:40]!r} is no annotation; give alpaca_eval's annotations.json")
    texts = [_text_of(record, key, where) for key in ("instruction", "output_1", "output_2")]
    return Annotation(
        instruction=texts[0],
        output_1=texts[1],
        output_2=texts[2],
        generator_1=str(record.get("generator_1") or "baseline"),
        generator_2=str(record.get("generator_2") or name),
        annotator=str(record["annotator"]) if record.get("annotator") else None,
        preference=_preference(record.get("preference")),
    )


def _text_of(record: Mapping[str, Any], key: str, where: str) -> str:
    text = record.get(key)
    if not isinstance(text, str):
        raise UsageError(
            f"{where}: {key} must be a text, given {str(text)[:40]!r}; give alpaca_eval's annotations.json"
        )
    return text


def _preference(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if number == 0:
        return 1.5
    return number if 1 <= number <= 2 else None


def _cell(column: str, text: str | None) -> Any:
    if text is None or text == "":
        return None
    if column == "mode":
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{column} is {text[:40]!r}, which is no number")
    return int(number) if column in _WHOLE else number


def _text(path: Path) -> str:
    return read_given(path, "alpaca_eval's annotations.json or leaderboard.csv, gzipped or not")
