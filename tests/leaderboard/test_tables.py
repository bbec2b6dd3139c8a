"""The leaderboard in every format: exact text, escaping, order, coverage, states, and widths."""

from __future__ import annotations

import csv
import re
from typing import Any

import pytest

from ropo_bench.leaderboard.board import Column, Leaderboard, Row, footers
from ropo_bench.leaderboard.cells import STYLES, Cell, Style, cell, percent_text
from ropo_bench.leaderboard.formats import FORMATS, render, to_csv
from ropo_bench.leaderboard.latex import to_latex
from ropo_bench.leaderboard.markdown import to_markdown
from ropo_bench.leaderboard.terminal import to_text
from ropo_bench.types import Measurement


def measured(
    task: str,
    metric: str,
    value: float,
    error: float | None = None,
    *,
    n: int = 160,
    unscored: int = 0,
    **more: Any,
) -> tuple[tuple[str, str], Measurement]:
    return (task, metric), Measurement(task, metric, value, error, n, unscored, **more)


COLUMNS = [
    Column("chat", "score", "grade"),
    Column("chat", "length", "tokens", decimals=1, better="none"),
    Column("energy", "drift", "HE drift", decimals=6, better="lower"),
]
BOARD = Leaderboard(
    title="pocket: 50 % & more",
    columns=COLUMNS,
    rows=[
        Row(
            "ropo",
            seeds=(0,),
            trainable_params=6888,
            percent=0.2514,
            train_seconds=7.71,
            peak_memory_bytes=655_000_000,
            cells=dict(
                [
                    measured("chat", "score", 6.84321, 0.2149, n=159, unscored=1, low=6.4, high=7.3),
                    measured("chat", "length", 23.0, 0.4),
                    measured("energy", "drift", 2.8e-9),
                ]
            ),
        ),
        Row("my_row|x", state="failed: certificate: agreement 0.9", trainable_params=2_712_345, percent=100.0),
        Row("SFT", reference=True, cells=dict([measured("chat", "score", 6.5, 0.001)])),
        Row("dpo", state="pending"),
    ],
    footers=["seeds: 0"],
)

TERMINAL = """\
pocket: 50 % & more

                                           chat                           energy
                     ───────────────────────────────────────────────    ──────────
method                                           grade ↑      tokens    HE drift ↓
──────────────────────────────────────────────────────────────────────────────────
SFT                  6.50 ± <0.01                                  –             –
──────────────────────────────────────────────────────────────────────────────────
ropo                  6.84 ± 0.21 [6.40, 7.30] (159/160)  23.0 ± 0.4       2.8e-09
my_row|x (failed)               –                                  –             –
dpo (pending)                   –                                  –             –

                                  training
                     ──────────────────────────────────
method               trainable     %  seconds  peak GiB
───────────────────────────────────────────────────────
SFT                          –     –        –         –
───────────────────────────────────────────────────────
ropo                     6,888  0.25      7.7      0.61
my_row|x (failed)    2,712,345   100        –         –
dpo (pending)                –     –        –         –

my_row|x failed: certificate: agreement 0.9
seeds: 0
"""

MARKDOWN = r"""**pocket: 50 % & more**

| method | chat: grade ↑ | chat: tokens | energy: HE drift ↓ | training: trainable | training: % | training: seconds | training: peak GiB |
|:---|---:|---:|---:|---:|---:|---:|---:|
| SFT | 6.50 ± \<0.01 | – | – | – | – | – | – |
| ropo | 6.84 ± 0.21 \[6.40, 7.30\] (159/160) | 23.0 ± 0.4 | 2.8e-09 | 6,888 | 0.25 | 7.7 | 0.61 |
| my\_row\|x (failed) | – | – | – | 2,712,345 | 100 | – | – |
| dpo (pending) | – | – | – | – | – | – | – |

- my\_row\|x failed: certificate: agreement 0.9
- seeds: 0
"""  # noqa: E501

LATEX = r"""\begin{table}
\centering
\small
\caption{pocket: 50 \% \& more}
\begin{tabular}{lrrrrrrr}
\toprule
& \multicolumn{2}{c}{chat} & \multicolumn{1}{c}{energy} & \multicolumn{4}{c}{training} \\
\cmidrule(lr){2-3}\cmidrule(lr){4-4}\cmidrule(lr){5-8}
method & grade $\uparrow$ & tokens & HE drift $\downarrow$ & trainable & \% & seconds & peak GiB \\
\midrule
SFT & 6.50 $\pm$ $<$0.01 & -- & -- & -- & -- & -- & -- \\
\midrule
ropo & 6.84 $\pm$ 0.21 {[}6.40, 7.30] (159/160) & 23.0 $\pm$ 0.4 & 2.8e-09 & 6,888 & 0.25 & 7.7 & 0.61 \\
my\_row$|$x (failed) & -- & -- & -- & 2,712,345 & 100 & -- & -- \\
dpo (pending) & -- & -- & -- & -- & -- & -- & -- \\
\bottomrule
\end{tabular}
\par {\footnotesize my\_row$|$x failed: certificate: agreement 0.9}
\par {\footnotesize seeds: 0}
\end{table}
"""

CSV = """\
method,state,reference,seeds,trainable_params,percent,train_seconds,peak_memory_bytes,\
chat.score,chat.score.standard_error,chat.score.low,chat.score.high,chat.score.n,chat.score.n_unscored,\
chat.length,chat.length.standard_error,chat.length.low,chat.length.high,chat.length.n,chat.length.n_unscored,\
energy.drift,energy.drift.standard_error,energy.drift.low,energy.drift.high,energy.drift.n,energy.drift.n_unscored
SFT,done,True,,,,,,6.5,0.001,,,160,0,,,,,,,,,,,,
ropo,done,False,0,6888,0.2514,7.71,655000000,6.84321,0.2149,6.4,7.3,159,1,23.0,0.4,,,160,0,2.8e-09,,,,160,0
my_row|x,failed: certificate: agreement 0.9,False,,2712345,100.0,,,,,,,,,,,,,,,,,,,,
dpo,pending,False,,,,,,,,,,,,,,,,,,,,,,,
"""


def test_markdown_latex_and_csv_are_exactly_this() -> None:
    assert to_markdown(BOARD) == MARKDOWN
    assert to_latex(BOARD) == LATEX
    assert to_csv(BOARD) == CSV


def test_csv_reads_back_in_full_precision() -> None:
    rows = list(csv.DictReader(to_csv(BOARD).splitlines()))
    assert [row["method"] for row in rows] == ["SFT", "ropo", "my_row|x", "dpo"]
    assert float(rows[1]["chat.score"]) == 6.84321


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_rows_give_the_same_bytes(name: str, style: Style) -> None:
    assert render(BOARD, name, style).encode() == render(BOARD, name, style).encode()
    assert render(BOARD, name, style).endswith("\n")


def test_terminal_table_is_exactly_this() -> None:
    assert to_text(BOARD, 100).plain == TERMINAL.rstrip("\n")


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_terminal_lines_keep_to_the_width_and_lose_no_cell(width: int) -> None:
    text = to_text(BOARD, width).plain
    assert max(len(line) for line in text.splitlines()) <= width
    for part in (
        "6.84 ± 0.21 [6.40, 7.30] (159/160)",
        "23.0 ± 0.4",
        "2.8e-09",
        "2,712,345",
        "agreement 0.9",
        "seeds: 0",
    ):
        assert part in text
    for line in text.splitlines():
        assert line == line.rstrip()


def test_more_seeds_get_a_column() -> None:
    rows = [Row("a", seeds=(0, 1, 2)), Row("b", seeds=(0,))]
    assert "seeds" not in to_markdown(Leaderboard("t", rows[1:], []))
    lines = to_markdown(Leaderboard("t", rows, [])).splitlines()
    assert lines[2].endswith("| training: seeds |")
    assert lines[4].endswith("| 3 |")


@pytest.mark.parametrize(
    ("value", "error", "decimals", "text"),
    [
        (6.8449, 0.2051, 2, "6.84 ± 0.21"),
        (1234.5, None, 1, "1,234.5"),
        (0.0, None, 6, "0.000000"),
        (-3.1e-9, None, 6, "-3.1e-09"),
        (3.1e-9, 2.2e-10, 6, "3.1e-09 ± 2.2e-10"),
        (-0.001, 0.21, 2, "0.00 ± 0.21"),
        (100.0, 0.0, 1, "100.0 ± 0.0"),
        (5.0, 0.0049, 2, "5.00 ± <0.01"),
        (50.0, 0.2, 0, "50 ± <1"),
    ],
)
def test_numbers_show_no_false_zero(value: float, error: float | None, decimals: int, text: str) -> None:
    assert str(cell(Measurement("t", "m", value, error, 10, 0), decimals)) == text


def test_a_cell_without_any_score_keeps_its_coverage() -> None:
    assert cell(Measurement("t", "m", None, None, 0, 160), 2) == Cell("–", coverage="(0/160)")
    assert cell(None, 2) == Cell("–")


def test_percentages() -> None:
    assert [percent_text(p) for p in (688_000 / 8_030_261_248 * 100, 100.0, 2.512, 0.0)] == [
        "0.0086",
        "100",
        "2.5",
        "0",
    ]


@pytest.mark.parametrize("letter", list("\\{}&%$#_~^<>|*["))
def test_no_name_can_break_latex_or_markdown(letter: str) -> None:
    board = Leaderboard("t", [Row(f"a{letter}b")], [])
    row = next(line for line in to_latex(board).splitlines() if line.startswith("a"))
    bare = re.sub(r"\\textbackslash\{\}|\\textascii\w+\{\}|\\[{}&%$#_]|\$[<>|]\$|\{[\[*]\}|\\\\$| & ", "", row)
    assert not re.search(r"[\\{}&%$#_~^<>|\[*]", bare)
    line = to_markdown(board).splitlines()[4]
    assert len(re.findall(r"(?<!\\)\|", line)) == 6


def test_footers_say_what_the_error_is_about() -> None:
    lines = footers(
        seeds=[0, 1],
        data="1,993 pairs, sha256 0123456789abcdef0123",
        versions={"torch": "2.13.0"},
        judges=["pocket grader"],
        prompts={"pocket-arena": 1600},
        pocket=True,
    )
    assert lines == [
        "± is the standard error, [] the 95 % interval; both are about the method, seeds crossed with prompts (a row"
        " of one seed: that checkpoint); a cell without ± is a census",
        "judge: pocket grader",
        "prompts: pocket-arena 1,600",
        "seeds: 0, 1",
        "preference data: 1,993 pairs, sha256 0123456789abcdef0123",
        "versions: torch 2.13.0",
        "pocket is a testbed with an exact ruler, not a claim about 8B models",
    ]
    one = footers(seeds=[0], data="1,993 pairs, sha256 0", versions={})[0]
    assert "both are about this one checkpoint a row (one seed)" in one
