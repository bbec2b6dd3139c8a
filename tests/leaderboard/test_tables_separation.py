"""What a table says about its rows: letters, bold, sentences, and what it could have seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.cells import text_table
from ropo_bench.leaderboard.conclusions import conclusions, findings
from ropo_bench.leaderboard.formats import render
from ropo_bench.leaderboard.latex import to_latex
from ropo_bench.leaderboard.markdown import to_markdown
from ropo_bench.leaderboard.separation import detectable, reverse, separations
from ropo_bench.leaderboard.terminal import to_text
from ropo_bench.statistics.power import minimum_detectable_effect
from tests.leaderboard.board_example import BOARD, WIN_RATE, compared, row

_DEGREES = [len(row.seeds) - 1 for row in BOARD.rows]


def adjusted(board: Leaderboard, a: str, b: str, p: float) -> Leaderboard:
    changed = [replace(one, adjusted=p) if {one.a, one.b} == {a, b} else one for one in board.comparisons]
    return replace(board, comparisons=changed)


def test_letters_are_shared_by_rows_that_are_not_separated() -> None:
    found = separations(BOARD)
    assert list(found) == [WIN_RATE]
    letters = found[WIN_RATE].letters
    assert letters == {"ropo": "a", "dpo": "b", "oft": "bc", "SFT": "c"}
    for one in BOARD.comparisons:
        share = bool(set(letters[one.a]) & set(letters[one.b]))
        assert one.adjusted is not None
        assert share == (one.adjusted >= 0.05)


@pytest.mark.parametrize("other", ["SFT", "dpo", "oft"])
def test_the_best_is_bold_only_if_it_is_separated_from_every_other(other: str) -> None:
    assert separations(BOARD)[WIN_RATE].best == "ropo"
    assert "| ropo | **61.0** ± 1.5 a |" in to_markdown(BOARD, "paper")
    unsure = adjusted(BOARD, "ropo", other, 0.05)
    assert separations(unsure)[WIN_RATE].best is None
    assert "**61" not in to_markdown(unsure, "paper")
    assert "textbf" not in to_latex(unsure)


def test_bold_needs_a_comparison_with_every_row_that_has_a_value() -> None:
    """A row that shares no prompt with the others is in no comparison."""
    board = replace(
        BOARD,
        rows=[row("dpo", 44.0, 0.0), row("ropo", 50.0, 0.0), row("alone", 40.0, 0.0)],
        comparisons=[compared("dpo", "ropo", -6.0, 0.003)],
    )
    assert separations(board)[WIN_RATE].best is None


def test_a_column_without_a_better_direction_is_told_as_numbers() -> None:
    columns = [replace(column, better="none") for column in BOARD.columns]
    [told] = findings(replace(BOARD, columns=columns))
    assert " higher than " in told
    assert "better" not in told
    assert "worse" not in told


def test_the_reference_takes_part_and_can_be_the_best() -> None:
    board = replace(
        BOARD,
        rows=[row("dpo", 44.0, 0.0), row("SFT", 50.0, 0.0, True)],
        comparisons=[compared("dpo", "SFT", -6.0, 0.003)],
    )
    assert separations(board)[WIN_RATE].best == "SFT"
    assert conclusions(board)[0].startswith(
        "on arena WR %, dpo is worse than SFT by 6.0 ± 2.0 points (Holm p = 0.003); this table could have seen "
    )


def test_where_lower_is_better_the_lowest_is_best() -> None:
    columns = [replace(BOARD.columns[0], better="lower")]
    board = replace(BOARD, columns=columns)
    found = separations(board)[WIN_RATE]
    assert found.best is None  # SFT and oft are not separated
    assert found.letters["SFT"][0] == "a"
    assert "ropo is worse than SFT by 11.0" in conclusions(board)[0]


def test_a_comparison_is_the_same_in_both_directions() -> None:
    found = separations(BOARD)[WIN_RATE].differences
    assert found["ropo", "SFT"].estimate == 11.0
    assert (found["ropo", "SFT"].low, found["ropo", "SFT"].high) == (7.0, 15.0)
    assert reverse(reverse(BOARD.comparisons[0])) == BOARD.comparisons[0]


def test_detectable_is_that_of_the_least_certain_comparison_with_the_reference() -> None:
    found = detectable(BOARD, separations(BOARD)[WIN_RATE], 0.05 / 6)
    assert found == minimum_detectable_effect(2.0, 120.0, alpha=0.05 / 6)
    unsure = replace(BOARD.comparisons[1], standard_error=5.0)  # dpo against SFT
    board = replace(BOARD, comparisons=[unsure, *BOARD.comparisons[2:]])
    assert detectable(board, separations(board)[WIN_RATE], 0.05) == minimum_detectable_effect(5.0, 120.0)
    others = replace(BOARD, comparisons=[*BOARD.comparisons[:5], replace(BOARD.comparisons[5], standard_error=9.0)])
    assert detectable(others, separations(others)[WIN_RATE], 0.05) == minimum_detectable_effect(2.0, 120.0)
    exact = replace(BOARD, comparisons=[replace(one, standard_error=None) for one in BOARD.comparisons])
    assert detectable(exact, separations(exact)[WIN_RATE], 0.05) is None
    assert "could have seen" not in conclusions(exact)[0]


def test_the_sentences_are_exactly_these() -> None:
    seen = minimum_detectable_effect(2.0, 120.0, alpha=0.05 / 6)
    alone = minimum_detectable_effect(2.0, 120.0)
    assert conclusions(BOARD) == [
        "on arena WR %, ropo is better than SFT by 11.0 ± 2.0 points (Holm p < 0.001); dpo is better than SFT by"
        " 5.0 ± 2.0 points (Holm p = 0.040); oft is not separated from SFT; ropo is better than oft by 8.0 ± 2.0"
        " points (Holm p = 0.002); 1 more pair is separated;"
        f" this table could have seen {seen:.1f}, one comparison alone {alone:.1f}",
        "rows that share a letter in a column are not separated: Holm's p >= 0.05 over all 6 paired comparisons of"
        " this table; bold is better than every other row, each separated",
        "could have seen: the smallest true difference that is found four times in five, in the column's least"
        " certain comparison (with the reference, if any); in this table: at the level that is asked of the smallest"
        " p",
    ]
    assert findings(BOARD) == conclusions(BOARD)[:1]
    assert conclusions(replace(BOARD, comparisons=())) == []


def test_a_table_without_a_reference_tells_of_its_rows_alone() -> None:
    rows = [replace(row, reference=False) for row in BOARD.rows]
    assert conclusions(replace(BOARD, rows=rows))[0].startswith("on arena WR %, ropo is better than SFT by 11.0")
    unsure = [replace(one, adjusted=1.0) for one in BOARD.comparisons]
    line = conclusions(replace(BOARD, rows=rows, comparisons=unsure))[0]
    assert line.startswith("on arena WR %, no two rows are separated; this table could have seen ")


def test_many_rows_are_counted_and_not_told() -> None:
    rows = [row(f"m{i}", 60.0 + i, 0.0) for i in range(9)] + [row("SFT", 50.0, 0.0, True)]
    pairs = [compared(f"m{i}", "SFT", 10.0 + i, 0.001) for i in range(6)]
    pairs += [compared(f"m{i}", "SFT", 10.0 + i, 0.4) for i in range(6, 9)]
    line = conclusions(replace(BOARD, rows=rows, comparisons=pairs))[0]
    assert line.count("is better than SFT by") == 4
    assert "; 2 more are separated from SFT; 3 rows are not separated from SFT; this table" in line


def test_paper_style_is_the_tested_columns_and_the_share_of_parameters() -> None:
    table = text_table(BOARD, "paper")
    assert [(group.title, group.headers) for group in table.groups] == [
        ("arena", ["WR % ↑"]),
        ("training", ["trainable %"]),
    ]
    assert str(table.groups[0].cells[0][0]) == "50.0 ± 1.5 c"
    full = text_table(BOARD)
    assert [group.title for group in full.groups] == ["arena", "energy", "training"]
    assert str(full.groups[0].cells[0][0]) == "50.0 ± 1.5 [47.0, 53.0] c"
    assert str(full.groups[1].cells[1][0]) == "0.0000"


def test_letters_are_superscripts_in_latex_and_one_header_row_is_enough_for_a_paper() -> None:
    paper = to_latex(BOARD, "paper")
    assert r"method & arena WR \% $\uparrow$ & trainable \% \\" in paper
    assert r"ropo & \textbf{61.0} $\pm$ 1.5\textsuperscript{a} & 0.5 \\" in paper
    assert "multicolumn" not in paper
    assert r"ropo & \textbf{61.0} $\pm$ 1.5\textsuperscript{a} {[}58.0, 64.0] & 0.0000 & 1,000 &" in to_latex(BOARD)


@pytest.mark.parametrize("style", ["paper", "full"])
def test_latex_is_well_formed(style: str) -> None:
    text = to_latex(BOARD, "paper" if style == "paper" else "full")
    bare = text.replace(r"\\", "").replace(r"\{", "").replace(r"\}", "")
    depth = 0
    for letter in bare:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.replace(r"\$", "").count("$") % 2 == 0
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    spec = text.split(r"\begin{tabular}{")[1].split("}")[0]
    for line in body.splitlines():
        if line.endswith(r"\\") and "multicolumn" not in line:
            assert line.count(" & ") == len(spec) - 1


def test_bold_on_a_terminal_is_the_best_alone() -> None:
    text = to_text(BOARD, 100, "paper")
    shown = [text.plain[span.start : span.end] for span in text.spans if str(span.style) == "bold green"]
    assert shown == ["61.0"]


def test_an_incomplete_run_shows_what_is_there() -> None:
    rows = [*BOARD.rows[:3], replace(BOARD.rows[3], cells={}, state="pending")]
    pairs = [one for one in BOARD.comparisons if "SFT" not in (one.a, one.b)]
    board = replace(BOARD, rows=rows, comparisons=pairs)
    assert separations(board)[WIN_RATE].letters == {"ropo": "a", "dpo": "b", "oft": "b"}
    for name in ("md", "latex"):
        assert "SFT (pending)" in render(board, name)
    assert "SFT" not in conclusions(board)[0]


def test_the_dagger_of_a_failed_canary_reaches_every_format() -> None:
    board = replace(BOARD, columns=[replace(BOARD.columns[0], header="WR % †")])
    assert "WR % † ↑" in to_markdown(board)
    assert "WR % † ↑" in to_text(board, 80).plain
    assert r"WR \% $\dagger$ $\uparrow$" in to_latex(board)
