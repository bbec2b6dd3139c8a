"""alpaca_eval's own files, written and read as it does."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.scoring.alpaca_eval.leaderboard import (
    COLUMNS,
    Annotation,
    LeaderboardRow,
    read_annotations,
    read_leaderboard,
    write_annotations,
    write_leaderboard,
)


def annotation(preference: float | None, instruction: str = "Why?") -> Annotation:
    return Annotation(instruction, "theirs,\n“quoted”", "base", "ours", "model", "judge", preference)


def test_annotations_round_trip_through_alpaca_evals_own_reading(tmp_path: Path) -> None:
    from alpaca_eval import metrics, utils

    path = tmp_path / "annotations.json"
    given = [annotation(1.25, "a"), annotation(2.0, "b"), annotation(None, "c"), annotation(1.5, "d")]
    write_annotations(path, given)
    assert read_annotations(path) == given
    theirs = metrics.get_winrate(utils.load_or_convert_to_dataframe(path))
    assert theirs["win_rate"] == pytest.approx(100 * (0.25 + 1 + 0.5) / 3)
    assert theirs["discrete_win_rate"] == pytest.approx(50.0)
    assert theirs["n_total"] == 3


def test_gzipped_annotations_of_several_forms(tmp_path: Path) -> None:
    path = tmp_path / "my-model.json.gz"
    battle = {"instruction": "i", "output_1": "a", "output_2": "b"}
    forms = [0, 1, "1.25", None, float("nan"), 2.5, -1, "no"]
    records = [*({**battle, "preference": form} for form in forms), battle]
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    found = read_annotations(path)
    assert [one.preference for one in found] == [1.5, 1.0, 1.25, *[None] * 6]
    assert {(one.generator_2, one.annotator) for one in found} == {("my-model", None)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("{}", "not a list of annotations"),
        ("[]", "not a list of annotations"),
        ("[3]", "record 0: '3' is no annotation"),
        ('[{"instruction": "i", "output_1": "a", "output_2": null}]', "record 0: output_2 must be a text"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as refused:
        read_annotations(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="no such file"):
        read_annotations(tmp_path / "absent.json")


def test_leaderboard_round_trip_through_alpaca_evals_own_reading(tmp_path: Path) -> None:
    from alpaca_eval import utils

    path = tmp_path / "leaderboard.csv"
    low = LeaderboardRow("low, with a comma", 10.25, 1.0, 1, 9, 0, 10, 10.0, "community", 900, 12.5, 1.5)
    high = LeaderboardRow("high", 60.0, 1.0, 6, 4, 0, 10, 60.0, "community", 1900, 55.0, None)
    unknown = LeaderboardRow("nodiff", 99.0, 1.0, 6, 4, 0, 10, 60.0, "community", 1900)
    write_leaderboard(path, [low, unknown, high])
    assert read_leaderboard(path) == [high, low, unknown]
    theirs, _ = utils.get_precomputed_leaderboard(path, None, None)
    assert list(theirs) == ["high", "low, with a comma", "nodiff"]
    assert tuple(theirs["high"]) == COLUMNS
    assert theirs["low, with a comma"]["length_controlled_winrate"] == 12.5


def test_published_leaderboard_is_read_and_written_alike(assets: Path, tmp_path: Path) -> None:
    published = assets / "leaderboard_rows.csv"
    rows = read_leaderboard(published)
    write_leaderboard(tmp_path / "again.csv", rows)
    written = (tmp_path / "again.csv").read_text().splitlines()
    original = published.read_text().splitlines()
    assert written[0] == original[0]
    assert sorted(written) == sorted(original)


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("name,score\na,1\n")
    with pytest.raises(UsageError, match="no column win_rate"):
        read_leaderboard(path)
    path.write_text(",win_rate\na,many\n")
    with pytest.raises(UsageError, match="line 2: win_rate is"):
        read_leaderboard(path)
