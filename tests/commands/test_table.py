"""`ropo-bench table` on stored runs: every format and style, several runs, published rows beside ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.commands.table import table_command
from ropo_bench.errors import UsageError
from ropo_bench.leaderboard.formats import FORMATS, from_json, to_json
from ropo_bench.store import Store
from tests import stored_run
from tests.stored_run import ARENA, write

BATTLES = ARENA | {"prompts": None, "decoding": None}  # what was answered is of no interest here

ROWS = {
    "SFT": [{"arena": {"win_rate": [50.0] * 8}}],
    "ropo": [{"arena": {"win_rate": [100.0, 50.0, 100.0, 0.0, 100.0, 100.0, 50.0, 100.0]}}],
    "dpo": [{"arena": {"win_rate": [100.0, None, 0.0, 0.0, 100.0, 50.0, 50.0, 0.0]}}],
    "oft": None,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    write(store, "first", ROWS, [BATTLES])
    return store


def printed(capsys: pytest.CaptureFixture[str], store: Store, *names: str, format: str, style: str = "full") -> str:
    table_command(names, format, style, store.root)
    return capsys.readouterr().out


@pytest.mark.parametrize("style", ["paper", "full"])
@pytest.mark.parametrize("format", ["text", *FORMATS])
def test_a_repeated_table_is_the_same_to_the_byte(
    capsys: pytest.CaptureFixture[str], store: Store, format: str, style: str
) -> None:
    once = printed(capsys, store, "first", format=format, style=style)
    assert once == printed(capsys, store, "first", format=format, style=style)
    assert "oft" in once
    assert "pending" in once
    if format in ("text", "md", "latex"):
        assert "(7/8)" in once  # dpo's coverage


def test_the_json_reads_back_with_its_comparisons_and_provenance(
    capsys: pytest.CaptureFixture[str], store: Store
) -> None:
    text = printed(capsys, store, "first", format="json")
    board = from_json(text)
    assert to_json(board) == text
    assert [(one.a, one.b) for one in board.comparisons] == [("SFT", "ropo")]
    assert any("not compared on arena" in line and "dpo (88 %)" in line for line in board.footers)
    assert all(one.adjusted is not None for one in board.comparisons)
    assert board.provenance["code"] == {"commit": "c" * 40, "dirty": False}


def test_several_runs_are_one_table(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    write(store, "third", {"SFT": ROWS["SFT"], "lora-dpo": ROWS["dpo"]}, [BATTLES])
    board = from_json(printed(capsys, store, "first", "third", format="json"))
    assert board.title.startswith("first + third · ")
    assert [row.name for row in board.rows] == ["SFT", "ropo", "dpo", "oft", "lora-dpo"]
    assert len(board.comparisons) == 1  # two rows have too few of their items scored


def test_the_newest_run_is_printed_where_none_is_named(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    write(store, "newest", {"SFT": ROWS["SFT"]}, [BATTLES])
    assert printed(capsys, store, format="text").startswith("newest · ")


def test_a_suite_that_names_its_base_has_the_published_rows_beside_it(
    capsys: pytest.CaptureFixture[str], store: Store
) -> None:
    alpaca = BATTLES | {"name": "alpaca-eval-2"}
    record = write(store, "ours", {"SFT": [{"alpaca-eval-2": {"win_rate": [50.0] * 8}}]}, [alpaca])
    assert "published" not in printed(capsys, store, "ours", format="text", style="paper")
    suite = record.request.suite.model_copy(update={"published": "Llama-3-8B-Base"})
    asked = record.request.model_copy(update={"suite": suite})
    store.write_run("ours", stored_run.record(asked, record.rows).model_dump())
    text = printed(capsys, store, "ours", format="text", style="paper")
    assert "── published (not ours) ─" in text
    assert "15.5 [1]" in text
    assert "published" not in printed(capsys, store, "ours", format="text")


@pytest.mark.parametrize(
    ("format", "style", "says"),
    [
        ("latx", "full", "--format latx: did you mean 'latex'?"),
        ("xml", "full", "--format xml: known: text, md, latex, csv, json"),
        ("text", "papr", "--style papr: did you mean 'paper'?"),
    ],
)
def test_an_unknown_word_is_answered_with_the_known_ones(store: Store, format: str, style: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        table_command(["first"], format, style, store.root)
    assert str(caught.value) == says
