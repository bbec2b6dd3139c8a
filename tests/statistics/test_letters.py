"""Letters for groups of rows that are not separated, against worked examples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.statistics.letters import letters


def test_letters_worked_example() -> None:
    apart = {("a", "c"), ("a", "d"), ("b", "d")}
    assert letters(list("abcd"), lambda x, y: (x, y) in apart) == {"a": "a", "b": "ab", "c": "bc", "d": "c"}


def test_piephos_first_example() -> None:
    """Eight treatments of Piepho 2004, section 2: T1 differs from T7 and T8, T2 to T6 each from some."""
    apart = {(1, 7), (1, 8), (2, 4), (2, 5), (3, 5)}
    found = letters([str(i) for i in range(1, 9)], lambda x, y: (int(x), int(y)) in apart)
    assert {
        tuple(sorted((int(x), int(y)))) for x in found for y in found if not set(found[x]) & set(found[y])
    } == apart


def test_no_row_and_no_difference() -> None:
    assert letters([], lambda x, y: True) == {}
    assert letters(["x", "y"], lambda x, y: False) == {"x": "a", "y": "a"}


@given(st.integers(1, 8), st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=28))
def test_two_rows_share_a_letter_exactly_where_they_are_not_separated(
    count: int, drawn: set[tuple[int, int]]
) -> None:
    apart = {(str(min(x, y)), str(max(x, y))) for x, y in drawn if x != y}
    names = [str(i) for i in range(count)]
    found = letters(names, lambda x, y: (x, y) in apart)
    for i, x in enumerate(names):
        assert found[x]
        assert list(found[x]) == sorted(found[x])
        for y in names[i + 1 :]:
            assert bool(set(found[x]) & set(found[y])) == ((x, y) not in apart)
    groups = [{name for name in names if letter in found[name]} for letter in sorted(set("".join(found.values())))]
    assert not any(a < b for a in groups for b in groups)  # none superfluous
    assert found[names[0]].startswith("a")
