"""Figures of the literature: every one has a source, disagreeing ones are both kept, none joins our statistics."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard.board import Column
from ropo_bench.leaderboard.cells import text_table
from ropo_bench.leaderboard.formats import to_csv, to_json
from ropo_bench.leaderboard.latex import to_latex
from ropo_bench.leaderboard.literature import Published, published_folder, read_published
from ropo_bench.leaderboard.markdown import to_markdown
from ropo_bench.leaderboard.separation import separations
from ropo_bench.leaderboard.terminal import to_text
from tests.leaderboard.board_example import BOARD

LC = ("alpaca-eval-2", "lc_win_rate")
WR = ("alpaca-eval-2", "win_rate")
HEAD = "base,method,task,metric,value,error,source,locator,note\n"


def test_every_shipped_figure_has_a_source_and_stands_once() -> None:
    rows = []
    for path in sorted(published_folder().glob("*.csv")):
        with path.open(newline="") as file:
            rows += list(csv.DictReader(file))
    assert len(rows) == 42 + 16 + 7  # SimPO's tables, REFA's, and what is claimed of RoPO
    assert all(row["source"].startswith("arXiv:") for row in rows)
    assert len({tuple(row.items()) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("base", "metric", "expected"),
    [
        ("Llama-3-8B-Base", WR, {"SFT": "4.6", "DPO": "15.5", "SimPO": "20.3"}),
        ("Llama-3-8B-Base", LC, {"SFT": "6.2", "DPO": "18.2", "SimPO": "22.0"}),
        ("Mistral-7B-Base", ("arena-hard", "win_rate"), {"SFT": "1.3", "R-DPO": "9.9"}),
        ("Mistral-7B-Base", ("mt-bench-original", "score_original"), {"SFT": "6.3", "SimPO": "7.3"}),
    ],
)
def test_shipped_figures(base: str, metric: tuple[str, str], expected: dict[str, str]) -> None:
    found = {figure.method: figure.value for figure in read_published(base, {metric}).figures}
    assert len(found) == 7
    assert {name: found[name] for name in expected} == expected


def test_nothing_is_beside_a_table_of_another_base_or_other_columns() -> None:
    assert read_published(None, {LC}) == Published()
    assert read_published("Llama-3-8B-Base", {("pocket-arena", "win_rate")}) == Published()
    assert read_published("SmolLM2-135M", {LC}).figures == ()


def test_disagreeing_sources_are_both_kept_and_both_shown() -> None:
    literature = read_published("Mistral-7B-Base", {LC, WR})
    simpo = [figure for figure in literature.figures if (figure.method, figure.metric) == ("SimPO", "lc_win_rate")]
    assert {figure.value for figure in simpo} == {"21.4", "20.01"}
    claims = [claim for claim in literature.claims if claim.source.startswith("arXiv:2508.17637")]
    assert {claim.high for claim in claims} == {"3.27", "0.5"}
    table = text_table(TABLE, "paper", literature)
    names = [line.label for line in table.lines]
    cell = table.groups[0].cells[names.index("SimPO")][1]
    assert str(cell) == "20.01 [1] / 21.4 [3]"
    assert "[1] arXiv:2412.16378 (REFA), abstract, as listed in December 2024" in table.notes
    assert any(note.startswith("[3] arXiv:2405.14734 (SimPO), Table 4 (judge: GPT-4 Turbo; ") for note in table.notes)


TABLE = replace(
    BOARD,
    columns=(Column(*WR, "WR %", 1, tested=True), Column(*LC, "LC WR %", 1, tested=True)),
    rows=[
        replace(row, cells={WR: replace(row.cells["arena", "win_rate"], task="alpaca-eval-2")}) for row in BOARD.rows
    ],
    comparisons=[replace(one, task="alpaca-eval-2") for one in BOARD.comparisons],
)


def test_published_rows_stand_apart_and_change_nothing_of_ours() -> None:
    literature = read_published("Llama-3-8B-Base", {WR, LC})
    plain = text_table(TABLE, "paper")
    beside = text_table(TABLE, "paper", literature)
    ours = len(TABLE.rows)
    assert [line.part for line in beside.lines] == ["reference"] + ["ours"] * 3 + ["published"] * 7
    assert [group.cells[:ours] for group in beside.groups] == [group.cells for group in plain.groups]
    theirs = [cell for group in beside.groups for line in group.cells[ours:] for cell in line]
    assert not any(cell.best or cell.letters or cell.error or cell.interval for cell in theirs)
    assert set(separations(TABLE)[WR].letters) == {"ropo", "dpo", "oft", "SFT"}
    assert [note for note in plain.notes if note not in beside.notes] == []


def test_the_heading_and_the_sources_are_in_every_rendering() -> None:
    literature = read_published("Llama-3-8B-Base", {WR, LC})
    text = to_text(TABLE, 100, "paper", literature).plain
    assert text.splitlines().count("── published (not ours) ".ljust(49, "─")) == 1
    assert "| *published (not ours)* |" in to_markdown(TABLE, "paper", literature)
    assert r"\midrule" + "\n" + r"\multicolumn{4}{l}{\emph{published (not ours)}} \\" in to_latex(
        TABLE, "paper", literature
    )
    assert r"DPO & 15.5 {[}1] & 18.2 {[}1] & -- \\" in to_latex(TABLE, "paper", literature)
    for whole in (to_text(TABLE, 100, "full", literature).plain, to_csv(TABLE), to_json(TABLE)):
        assert "15.5" not in whole


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("base,method\n", "x.csv:1: the columns must be base,method,task,metric,value"),
        (HEAD + "B,DPO,t,m,5,,arXiv:1\n", "x.csv:2: 9 columns are needed"),
        (HEAD + "B,DPO,t,m,5,,,Table 1,\n", "x.csv:2: source: is empty"),
        (HEAD + "B,DPO,t,m,,,s,Table 1,\n", "x.csv:2: value: must be a number, given ''"),
        (HEAD + "B,DPO,t,m,5,nan,s,Table 1,\n", "x.csv:2: error: must be a number, given 'nan'"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(UsageError) as caught:
        read_published("B", {("t", "m")}, tmp_path)
    assert says in str(caught.value)


def test_an_error_is_shown_where_the_source_gives_one(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(HEAD + "B,DPO,alpaca-eval-2,win_rate,5.10,0.3,a source,,\n")
    table = text_table(TABLE, "paper", read_published("B", {WR}, tmp_path))
    assert str(table.groups[0].cells[-1][0]) == "5.10 ± 0.3 [1]"
    assert "[1] a source" in table.notes
