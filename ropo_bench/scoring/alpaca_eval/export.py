"""A run's AlpacaEval battles as alpaca_eval's own files: annotations of every model, and the leaderboard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ropo_bench.scoring.alpaca_eval.annotate import to_annotations
from ropo_bench.scoring.alpaca_eval.leaderboard import write_annotations, write_leaderboard
from ropo_bench.scoring.alpaca_eval.win_rates import leaderboard_row, measure_annotations
from ropo_bench.scoring.judged import JudgedRow


def write(folder: Path, rows: Sequence[JudgedRow], made_at: float) -> Iterator[Path]:
    """Write `MODEL/annotations.json` and `leaderboard.csv`; the formats hold no time. Raises StorageError."""
    board = []
    for row in rows:
        annotations = to_annotations(
            row.material, row.scores, generator=row.model, baseline=row.baseline, annotator=row.judge.name
        )
        path = folder / row.model / "annotations.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_annotations(path, annotations)
        yield path
        board += [leaderboard_row(rates) for rates in measure_annotations(annotations)]
    if board:
        write_leaderboard(folder / "leaderboard.csv", board)
        yield folder / "leaderboard.csv"
