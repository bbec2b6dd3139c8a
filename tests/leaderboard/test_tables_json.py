"""The leaderboard as JSON, schema 2: everything in it, and read back exactly."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard.board import Column, Leaderboard, Row
from ropo_bench.leaderboard.formats import from_json, to_json
from ropo_bench.types import Comparison, Measurement, Test
from tests.leaderboard.board_example import BOARD

TEXT = st.text(max_size=6)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | NUMBER
COUNT = st.integers(0, 10**12)
MEASUREMENT = st.builds(
    Measurement,
    TEXT,
    TEXT,
    MAYBE,
    MAYBE,
    COUNT,
    COUNT,
    st.integers(1, 10**12),
    MAYBE,
    MAYBE,
    MAYBE,
    st.dictionaries(TEXT, NUMBER, max_size=2),
)
COMPARISON = st.builds(
    Comparison, TEXT, TEXT, TEXT, TEXT, NUMBER, MAYBE, MAYBE, MAYBE, MAYBE, NUMBER, COUNT,
    st.sampled_from(get_args(Test)), MAYBE,
)  # fmt: skip
ROW = st.builds(
    Row, TEXT, st.lists(COUNT, max_size=3).map(tuple), st.none() | COUNT, MAYBE, MAYBE, st.none() | COUNT,
    st.lists(MEASUREMENT, max_size=3).map(lambda cells: {(cell.task, cell.metric): cell for cell in cells}),
    TEXT, st.booleans(),
)  # fmt: skip
COLUMN = st.builds(
    Column, TEXT, TEXT, TEXT, st.integers(0, 8), st.sampled_from(["higher", "lower", "none"]), st.just(False)
)
JSON: Any = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT, lambda inner: st.dictionaries(TEXT, inner, max_size=2)
)


def several(one: Any) -> Any:
    return st.lists(one, max_size=3).map(tuple)


@given(
    st.builds(
        Leaderboard,
        TEXT,
        several(ROW),
        several(COLUMN),
        several(TEXT),
        several(COMPARISON),
        st.dictionaries(TEXT, JSON, max_size=2),
    )
)
def test_every_leaderboard_reads_back_exactly(board: Leaderboard) -> None:
    text = to_json(board)
    assert from_json(text) == board
    assert to_json(from_json(text)) == text


def test_it_holds_intervals_splits_comparisons_provenance_and_notes() -> None:
    value = json.loads(to_json(BOARD))
    assert (value["schema"], value["schema_version"]) == ("ropo-bench/leaderboard", 2)
    assert [row["name"] for row in value["rows"]] == ["ropo", "dpo", "oft", "SFT"]
    first = value["rows"][0]["cells"][0]
    assert first == {
        "task": "arena", "metric": "win_rate", "value": 61.0, "standard_error": 1.5, "n": 160, "n_unscored": 0,
        "num_seeds": 2, "degrees": 120.0, "low": 58.0, "high": 64.0, "split": {"prompts": 20.0},
            "seed_sd": None,
    }  # fmt: skip
    assert value["comparisons"][0] == asdict(BOARD.comparisons[0])
    assert value["provenance"]["code"]["commit"] == "0" * 40
    assert value["notes"][-1] == "seeds: 0, 1"
    assert value["notes"][0].startswith("on arena WR %, ropo is better than SFT by 11.0 ± 2.0 points")
    assert from_json(to_json(BOARD)) == BOARD


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "night.json:1: not JSON"),
        ("[]", "given None version None"),
        ('{"schema": "ropo-bench/leaderboard", "schema_version": 1}', "given ropo-bench/leaderboard version 1"),
        ('{"schema": "ropo-bench/leaderboard", "schema_version": 2}', "damaged leaderboard (title: Field required)"),
        (to_json(BOARD).replace('"adjusted"', '"adjustd"'), "damaged leaderboard"),
    ],
)
def test_another_file_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_json(text, "night.json")
    message = str(caught.value)
    assert says in message
    assert message.startswith("night.json")
    assert message.endswith("ropo-bench table RUN --format json")
    assert "\n" not in message
