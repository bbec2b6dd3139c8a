"""Letters for rows of a table that are not separated."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def letters(names_best_first: Sequence[str], separated: Callable[[str, str], bool]) -> dict[str, str]:
    """Compact letter display: two rows share a letter exactly where they are not separated.

    Insert and absorb (Piepho 2004, doi 10.1198/1061860043515); "a" is the group of the best, and so on.
    """
    names = list(names_best_first)
    groups = [set(names)] if names else []
    for i, name in enumerate(names):
        for other in names[i + 1 :]:
            if separated(name, other):
                groups = _insert(groups, name, other)
    rank = {name: index for index, name in enumerate(names)}
    groups.sort(key=lambda group: sorted(rank[name] for name in group))
    return {name: "".join(_letter(i) for i, group in enumerate(groups) if name in group) for name in names}


def _insert(groups: list[set[str]], name: str, other: str) -> list[set[str]]:
    """Groups in which these two are never together: each that has both becomes two; what others hold is absorbed."""
    parted = []
    for group in groups:
        parted += [group - {name}, group - {other}] if {name, other} <= group else [group]
    maximal: list[set[str]] = []
    for i, group in enumerate(parted):
        if not any(group < other_group for other_group in parted) and group not in parted[:i]:
            maximal.append(group)
    return maximal


def _letter(index: int) -> str:
    """a ... z, then aa ... as columns of a spreadsheet."""
    more, place = divmod(index, 26)
    return (_letter(more - 1) if more else "") + "abcdefghijklmnopqrstuvwxyz"[place]
