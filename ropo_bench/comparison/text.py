"""A comparison of two rows for a terminal, and as JSON (schema 1)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ropo_bench.comparison.items import Change, ComparedColumn, ComparedRows, Flips
from ropo_bench.leaderboard.cells import NOTHING
from ropo_bench.store.bounded import dump_json

SCHEMA = "ropo-bench/comparison"
SCHEMA_VERSION = 1
_HEADS = ("task", "column", "A", "B", "A - B", "95 % interval", "p", "adjusted", "test", "n", "could see")
_ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}
_LEFT = (0, 1, 8)


def comparison_json(title: str, notes: Sequence[str], pairs: Sequence[ComparedRows]) -> str:
    """Everything that the text says, numbers in full precision and every flipped item by name."""
    value: dict[str, Any] = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "title": title}
    value |= {"notes": list(notes), "pairs": [asdict(pair) for pair in pairs]}
    return dump_json(value) + "\n"


def comparison_text(title: str, notes: Sequence[str], pairs: Sequence[ComparedRows], width: int) -> str:
    """The pairs one below the other: tests, the other columns, flips, the most changed prompts; then the notes."""
    lines = [title]
    for pair in pairs:
        lines += ["", f"A = {_label_row(pair.a, pair.num_seeds_a)}, B = {_label_row(pair.b, pair.num_seeds_b)}"]
        lines += _block("tested", [column for column in pair.columns if column.tested])
        lines += _block("other columns, a family of their own", [c for c in pair.columns if not c.tested])
        for column in pair.columns:
            lines += _details(column, width)
    lines += ["", *(part for note in notes for part in textwrap.wrap(note, width, subsequent_indent="  "))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _label_row(label: str, num_seeds: int) -> str:
    return f"{label} ({num_seeds} seed{'s' if num_seeds > 1 else ''})"


def _block(title: str, columns: Sequence[ComparedColumn]) -> list[str]:
    if not columns:
        return []
    rows = [_HEADS, *(_cells(column) for column in columns)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADS))]
    text = [_line(row, widths) for row in rows]
    return ["", title, text[0], "─" * len(text[0]), *text[1:]]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    sided = enumerate(zip(cells, widths, strict=True))
    return "  ".join(text.ljust(width) if i in _LEFT else text.rjust(width) for i, (text, width) in sided)


def _cells(column: ComparedColumn) -> tuple[str, ...]:
    comparison, decimals = column.comparison, column.decimals
    values = (_value(column.a, decimals, column.n_unscored_a), _value(column.b, decimals, column.n_unscored_b))
    head = (column.task, column.header + _ARROWS[column.better], *values)
    if comparison is None:
        plain = NOTHING if column.a is None or column.b is None else number(column.a - column.b, decimals, sign=True)
        return (*head, plain, *[NOTHING] * 6)
    estimate = difference_text(comparison.estimate, comparison.low, comparison.high, decimals)
    could_see = NOTHING if column.detectable is None else number(column.detectable, decimals)
    interval = interval_text(comparison.low, comparison.high, decimals)
    adjusted = NOTHING if comparison.adjusted is None else p_text(comparison.adjusted)
    return (
        *head,
        estimate,
        interval,
        p_text(comparison.p_value),
        adjusted,
        comparison.test,
        f"{comparison.n:,}",
        could_see,
    )


def _value(value: float | None, decimals: int, n_unscored: int) -> str:
    text = NOTHING if value is None else number(value, decimals)
    return f"{text} ({n_unscored:,} unscored)" if n_unscored else text


def number(value: float, decimals: int, sign: bool = False, scale: float = 0.0) -> str:
    """Fixed decimals; two digits in scientific form where those would show only zeros of a number and its scale."""
    plus = "+" if sign else ""
    least = 0.5 * 10**-decimals  # what rounds to a non-zero last digit
    if value and max(abs(value), scale) < least:
        return f"{value:{plus}.1e}"
    return f"{value if abs(value) >= least else 0.0:{plus if abs(value) >= least else ''},.{decimals}f}"


def difference_text(estimate: float, low: float | None, high: float | None, decimals: int) -> str:
    """A difference with its sign, in the decimals of its interval."""
    return number(estimate, decimals, sign=True, scale=_scale(low, high))


def interval_text(low: float | None, high: float | None, decimals: int, sign: bool = True) -> str:
    """An interval in brackets, or a dash."""
    if low is None or high is None:
        return NOTHING
    ends = (number(end, decimals, sign, _scale(low, high)) for end in (low, high))
    return f"[{', '.join(ends)}]"


def _scale(low: float | None, high: float | None) -> float:
    return max(abs(low or 0.0), abs(high or 0.0))


def p_text(p_value: float) -> str:
    """A p-value in three decimals, or that it is below them."""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _details(column: ComparedColumn, width: int) -> list[str]:
    """How many items went the other way, and the most changed prompts."""
    lines = []
    if column.flips is not None and column.flips.n:
        text = f"{column.task} {column.header}: {flips_text(column.flips, column.decimals)}"
        lines += ["", *textwrap.wrap(text, width, subsequent_indent="  ")]
    for change in column.changes:
        lines += _change(change, column, width)
    return lines


def flips_text(flips: Flips, decimals: int) -> str:
    """The flips of one column in a sentence."""
    up, down = len(flips.better_in_a), len(flips.better_in_b)
    match flips.kind:
        case "battles":
            what, back = "battles won by A and lost by B", "the other way"
        case "answers":
            what, back = "answers right in A and wrong in B", "the other way"
        case "grades":
            assert flips.threshold is not None
            what = (
                f"items better in A by more than {number(flips.threshold, decimals)} (one standard deviation of all)"
            )
            back = "better in B"
    return f"{what}: {up:,}; {back}: {down:,}; of {flips.n:,}"


def _change(change: Change, column: ComparedColumn, width: int) -> list[str]:
    a, b = number(change.a, column.decimals), number(change.b, column.decimals)
    category = f" ({change.category})" if change.category else ""
    lines = [f"  {change.prompt}{category}: A {a}, B {b}"]
    if change.answer_a and change.answer_a == change.answer_b:
        lines.append(f"    A and B alike: {_first_words(change.answer_a, width - 19)}")
    elif change.answer_a or change.answer_b:
        lines += [f"    {name} {_first_words(turns, width - 6)}" for name, turns in _answers(change)]
    return lines


def _answers(change: Change) -> list[tuple[str, tuple[str, ...]]]:
    return [("A", change.answer_a), ("B", change.answer_b)]


def _first_words(turns: Sequence[str], room: int) -> str:
    """The first words of every turn, in equal shares of the room."""
    share = max(room // max(len(turns), 1) - 3, 8)
    texts = [" ".join("".join(c if c.isprintable() else " " for c in turn).split()) for turn in turns]
    return " / ".join(t if len(t) <= share else t[: share - 1].rstrip() + "…" for t in texts)
