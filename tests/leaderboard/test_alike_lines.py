"""The table names rows that answer alike."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.leaderboard import leaderboard
from ropo_bench.leaderboard.cells import text_table
from ropo_bench.runs.reading import open_run
from ropo_bench.store import Store
from tests.stored_run import Values, write


def seed(won: list[float], right: list[float]) -> dict[str, Values]:
    lengths = [50.0 + place for place in range(len(won))]
    return {"arena": {"win_rate": won, "length": lengths}, "quiz": {"accuracy": right}}


def test_a_group_is_named_under_the_table_and_only_where_it_agrees(tmp_path: Path) -> None:
    won, right = [100.0 * (place % 3 == 0) for place in range(200)], [100.0 * (place % 4 > 0) for place in range(200)]
    almost = [50.0, *won[1:]]
    store = Store(tmp_path)
    write(
        store,
        "one",
        {
            "SFT": [seed([50.0] * 200, right[::-1])],
            "dpo": [seed(won, right)],
            "kto": [seed(almost, [100 - value for value in right])],
            "ropo": [seed(won[::-1], [100.0] * 200)],
        },
    )
    lines = [note for note in text_table(leaderboard(open_run(store, "one"))).notes if "same score" in note]
    assert lines == [
        "dpo and kto give the same score on 99.5 % of the items of arena WR % (alike from 99 %);"
        " they are one result there, not two"
    ]
