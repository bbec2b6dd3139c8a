"""Do public annotations give their published AlpacaEval 2 figures? python -m benchmarks.published_lc [DIR] [--json]

DIR: a folder of NAME.json or NAME/annotations.json (perhaps .gz) as in alpaca_eval's results; without it the
annotations that are assets. Each is scored by both rules; published are the figures of the installed alpaca_eval's
leaderboard.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.lc_intervals import MODELS
from ropo_bench.scoring.alpaca_eval.leaderboard import read_annotations
from ropo_bench.scoring.alpaca_eval.listed import read_listed
from ropo_bench.scoring.alpaca_eval.win_rates import LC, measure_annotations
from ropo_bench.sources.assets import asset


@dataclass(frozen=True, slots=True)
class Line:
    """One file: its rows, published figures, and by how much each rule's differ from them, in points."""

    model: str
    rows: int
    win_rate: float
    lc_win_rate: float
    c: float | None
    win_rate_difference: float
    by_position: float
    by_text: float


def files(folder: Path | None) -> Iterator[tuple[str, Path]]:
    """Names and paths of annotations."""
    if folder is None:
        for model in MODELS:
            yield model, asset(f"alpaca_eval/{model}/annotations.json")
        return
    for path in sorted(folder.rglob("*.json*")):
        name = path.name.removesuffix(".gz").removesuffix(".json")
        yield path.parent.name if name == "annotations" else name, path


def lines(folder: Path | None) -> Iterator[Line]:
    """A line for each file that the leaderboard has."""
    published = {row.name: row for row in read_listed()}
    for model, path in files(folder):
        listed = published.get(model)
        if listed is None or listed.win_rate is None or listed.length_controlled_winrate is None:
            continue
        annotations = read_annotations(path)
        [official] = measure_annotations(annotations, rule="alpaca-eval")
        [ours] = measure_annotations(annotations)
        win_rate, by_position, by_text = (
            row.measurements[metric].value for row, metric in ((official, "win_rate"), (official, LC), (ours, LC))
        )
        assert win_rate is not None
        assert by_position is not None
        assert by_text is not None
        figure = listed.length_controlled_winrate
        yield Line(
            model,
            len(annotations),
            listed.win_rate,
            figure,
            official.c,
            win_rate - listed.win_rate,
            by_position - figure,
            by_text - figure,
        )


def markdown(found: Sequence[Line]) -> str:
    """A table of the files, and what holds of all."""
    rows = [
        "| model | rows | WR | LC WR | reached at C | --rule alpaca-eval differs by | default differs by |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for line in found:
        c = "–" if line.c is None else f"{line.c:.4g}"
        rows.append(
            f"| {line.model} | {line.rows} | {line.win_rate:.2f} | {line.lc_win_rate:.2f} | {c}"
            f" | {line.by_position:+.1e} | {line.by_text:+.3f} |"
        )
    worst = {name: max(abs(getattr(line, name)) for line in found) for name in ("by_position", "by_text")}
    apart = sum(abs(line.by_text) > 1e-6 for line in found)
    rows.append(
        f"\n{len(found)} files: by --rule alpaca-eval LC win rates differ by at most {worst['by_position']:.1e}; by"
        f" default {apart} differ by more than 1e-6, at most by {worst['by_text']:.2f}; win rates differ by at most"
        f" {max(abs(line.win_rate_difference) for line in found):.1e}"
    )
    return "\n".join(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = list(lines(options.folder))
    print(json.dumps([asdict(line) for line in found], indent=1) if options.json else markdown(found))


if __name__ == "__main__":
    main()
