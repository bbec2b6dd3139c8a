"""The sentences under a table: what it found, and what it could have seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.separation import ALPHA, Separation, detectable, family_size, is_separated, separations
from ropo_bench.types import Comparison

NAMED = 4  # rows told one by one; letters tell all


def conclusions(board: Leaderboard) -> list[str]:
    """The findings, then how to read letters, bold type and what could have been seen."""
    sentences = findings(board)
    if not sentences:
        return []
    return [
        *sentences,
        *_families(board),
        f"rows that share a letter in a column are not separated: {_correction_name(board)} p >= {ALPHA:g} over all"
        f" {len(board.comparisons)} paired comparisons of this table; bold is better than every other row, each"
        " separated",
        "could have seen: the smallest true difference that is found four times in five, in the column's least"
        f" certain {_comparison_name(board)}; in this table: at the level that is asked of the smallest p",
    ]


def _families(board: Leaderboard) -> list[str]:
    """What was declared to be tested first, and what that means for the rest."""
    primary = [comparison for comparison in board.comparisons if comparison.family == "primary"]
    if board.primary is None:
        return []
    columns = list(dict.fromkeys(f"{comparison.task}.{comparison.metric}" for comparison in primary))
    if not primary:
        return [f"primary comparisons: none could be made against {board.primary['against']}"]
    return [
        f"primary comparisons, declared and tested first: each row against {board.primary['against']} on"
        f" {', '.join(columns)} ({len(primary)} in all); the other {len(board.comparisons) - len(primary)} are"
        " secondary, tested at what rejected primary ones leave; at most 5 % of such tables hold any wrong one"
    ]


def _correction_name(board: Leaderboard) -> str:
    return "Holm's" if board.primary is None else "adjusted"


def _comparison_name(board: Leaderboard) -> str:
    return "comparison (with the reference, if any)" if board.primary is None else "primary comparison"


def findings(board: Leaderboard) -> list[str]:
    """One line a tested column: who is better than whom, by how much, and what could have been seen."""
    return [_column(board, separation) for separation in separations(board).values()]


def _column(board: Leaderboard, separation: Separation) -> str:
    """ "on pocket-arena WR %, dpo is better than SFT by 7.3 ± 2.1 points (Holm p = 0.004); ..."."""
    column = separation.column
    references = [row.name for row in board.rows if row.reference]
    parts = [part for name in references for part in _against(separation, name)]
    return f"on {column.task} {column.header}, " + "; ".join(
        [*parts, *_among(separation, references), *_detectable(board, separation)]
    )


def _detectable(board: Leaderboard, separation: Separation) -> list[str]:
    """What the whole table could have seen, and what this column could if nothing else were compared."""
    levels = (ALPHA / family_size(board), ALPHA)
    effects = [detectable(board, separation, level) for level in levels]
    table, alone = ("" if effect is None else f"{effect:,.{separation.column.decimals}f}" for effect in effects)
    return [f"this table could have seen {table}, one comparison alone {alone}"] if table else []


def _against(separation: Separation, reference: str) -> list[str]:
    """What is said of every row against one reference: the clearest by name, the others counted."""
    differences = [difference for difference in separation.differences.values() if difference.b == reference]
    separated = _clearest(difference for difference in differences if is_separated(difference))
    parts = [_sentence(separation, difference) for difference in separated[:NAMED]]
    left = len(separated) - NAMED
    if left > 0:
        parts.append(f"{left} more {'is' if left == 1 else 'are'} separated from {reference}")
    rest = [difference.a for difference in differences if not is_separated(difference)]
    if rest:
        names = " and ".join(rest) if len(rest) <= 2 else f"{len(rest)} rows"
        parts.append(f"{names} {'is' if len(rest) == 1 else 'are'} not separated from {reference}")
    return parts


def _among(separation: Separation, references: Sequence[str]) -> list[str]:
    """What is said of the other rows among themselves: the clearest difference, the others counted."""
    pairs = [d for d in separation.differences.values() if not {d.a, d.b} & set(references)]
    higher = separation.column.better != "lower"
    # Each pair is there in both directions: the one that is a gain speaks.
    gains = [difference for difference in pairs if (difference.estimate > 0) == higher]
    separated = _clearest(difference for difference in gains if is_separated(difference))
    if not separated and not references:
        return ["no two rows are separated"]
    left = len(separated) - 1
    more = [f"{left} more {'pair is' if left == 1 else 'pairs are'} separated"] if left > 0 else []
    return [*(_sentence(separation, difference) for difference in separated[:1]), *more]


def _clearest(differences: Iterable[Comparison]) -> list[Comparison]:
    return sorted(differences, key=lambda difference: (difference.p_value, -abs(difference.estimate)))


def _sentence(separation: Separation, difference: Comparison) -> str:
    up = difference.estimate > 0
    if separation.column.better == "none":
        word = "higher" if up else "lower"
    else:
        word = "better" if up == (separation.column.better == "higher") else "worse"
    return f"{difference.a} is {word} than {difference.b} by {_size(separation, difference)}"


def _size(separation: Separation, difference: Comparison) -> str:
    """ "7.3 ± 2.1 points (Holm p = 0.004)"."""
    column = separation.column
    error = "" if difference.standard_error is None else f" ± {difference.standard_error:,.{column.decimals}f}"
    points = " points" if "%" in column.header else ""
    p = difference.adjusted if difference.adjusted is not None else difference.p_value
    p_text = "< 0.001" if p < 0.001 else f"= {p:.3f}"
    return (
        f"{abs(difference.estimate):,.{column.decimals}f}{error}{points} ({difference.family or 'Holm'} p {p_text})"
    )
