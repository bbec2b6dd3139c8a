"""The sentences under a table: what it found, and what it could have seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.separation import ALPHA, Separation, detectable, family_size, is_separated, separations
from ropo_bench.types import Comparison

NAMED = 4  # rows told one by one; letters tell all


def conclusions(board: Leaderboard) -> list[str]:
    """The findings, then how to read letters, bold type and what could have been seen."""
    told = findings(board)
    if not told:
        return []
    return [
        *told,
        *_families(board),
        f"rows that share a letter in a column are not separated: {_adjusted(board)} p >= {ALPHA:g} over all"
        f" {len(board.comparisons)} paired comparisons of this table; bold is better than every other row, each"
        " separated",
        "could have seen: the smallest true difference that is found four times in five, in the column's least"
        f" certain {_which(board)}; in this table: at the level that is asked of the smallest p",
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


def _adjusted(board: Leaderboard) -> str:
    return "Holm's" if board.primary is None else "adjusted"


def _which(board: Leaderboard) -> str:
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
        [*parts, *_among(separation, references), *_seen(board, separation)]
    )


def _seen(board: Leaderboard, separation: Separation) -> list[str]:
    """What the whole table could have seen, and what this column could if nothing else were compared."""
    levels = (ALPHA / family_size(board), ALPHA)
    effects = [detectable(board, separation, level) for level in levels]
    table, alone = ("" if one is None else f"{one:,.{separation.column.decimals}f}" for one in effects)
    return [f"this table could have seen {table}, one comparison alone {alone}"] if table else []


def _against(separation: Separation, reference: str) -> list[str]:
    """What is said of every row against one reference: the clearest by name, the others counted."""
    differences = [one for one in separation.differences.values() if one.b == reference]
    separated = _clearest(one for one in differences if is_separated(one))
    parts = [_sentence(separation, one) for one in separated[:NAMED]]
    left = len(separated) - NAMED
    if left > 0:
        parts.append(f"{left} more {'is' if left == 1 else 'are'} separated from {reference}")
    rest = [one.a for one in differences if not is_separated(one)]
    if rest:
        names = " and ".join(rest) if len(rest) <= 2 else f"{len(rest)} rows"
        parts.append(f"{names} {'is' if len(rest) == 1 else 'are'} not separated from {reference}")
    return parts


def _among(separation: Separation, references: Sequence[str]) -> list[str]:
    """What is said of the other rows among themselves: the clearest difference, the others counted."""
    pairs = [one for one in separation.differences.values() if not {one.a, one.b} & set(references)]
    higher = separation.column.better != "lower"
    ours = [one for one in pairs if (one.estimate > 0) == higher]  # each pair is there in both directions
    separated = _clearest(one for one in ours if is_separated(one))
    if not separated and not references:
        return ["no two rows are separated"]
    left = len(separated) - 1
    more = [f"{left} more {'pair is' if left == 1 else 'pairs are'} separated"] if left > 0 else []
    return [*(_sentence(separation, one) for one in separated[:1]), *more]


def _clearest(differences: Iterable[Comparison]) -> list[Comparison]:
    return sorted(differences, key=lambda one: (one.p_value, -abs(one.estimate)))


def _sentence(separation: Separation, one: Comparison) -> str:
    up = one.estimate > 0
    if separation.column.better == "none":
        word = "higher" if up else "lower"
    else:
        word = "better" if up == (separation.column.better == "higher") else "worse"
    return f"{one.a} is {word} than {one.b} by {_size(separation, one)}"


def _size(separation: Separation, one: Comparison) -> str:
    """ "7.3 ± 2.1 points (Holm p = 0.004)"."""
    column = separation.column
    error = "" if one.standard_error is None else f" ± {one.standard_error:,.{column.decimals}f}"
    points = " points" if "%" in column.header else ""
    p = one.adjusted if one.adjusted is not None else one.p_value
    shown = "< 0.001" if p < 0.001 else f"= {p:.3f}"
    return f"{abs(one.estimate):,.{column.decimals}f}{error}{points} ({one.family or 'Holm'} p {shown})"
