"""The history of nights: read as it was written, also after a crash or a merge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.gate.history import append, default_path, read_history
from ropo_bench.gate.night import Night, Row, to_plain
from tests.gate.nights import cell, night


def refuse(line: str) -> None:
    raise AssertionError(f"a warning where there is nothing to warn of: {line}")


@pytest.fixture
def full() -> Night:
    rows = {"ropo": Row("done", {"chat.score": cell([5.0, 6.0])}), "SFT": Row("done", {}, True)}
    return night(
        1,
        [5.0],
        rows=rows,
        provenance={"code": {"commit": "abc", "dirty": False}},
        recipes={"method ropo": "0123"},
        repeats=[rows],
        again=rows,
        anchor=True,
        verdict="GO",
        verdicts={"ropo": {"chat.score": "GO"}},
    )


def test_a_night_is_read_as_it_was_written(tmp_path: Path, full: Night) -> None:
    path = tmp_path / "deep" / "pocket.jsonl"
    append(path, full)
    append(path, night(2, [5.5]))
    assert path.read_text().count("\n") == 2
    found = read_history(path, "pocket", refuse)
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [json.loads(json.dumps(to_plain(one))) for one in found] == written
    assert found[0].rows == full.rows
    assert found[0].anchor


def test_why_a_row_failed_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "pocket.jsonl"
    append(path, night(1, [5.0], rows={"ropo": Row("failed: /data/models: no such folder", {})}))
    assert "/data" not in path.read_text()
    assert read_history(path, "pocket", refuse)[0].rows["ropo"].state == "failed"


def test_a_history_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_history(tmp_path / "none.jsonl", "pocket", refuse) == []


def test_a_union_merge_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    for number in (1, 2, 3):
        append(path, night(number, [float(number)]))
    ours = read_history(path, "pocket", refuse)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[2], lines[0], "\n", lines[1], lines[0], lines[2]]))
    assert read_history(path, "pocket", refuse) == ours


def test_a_cut_off_last_line_is_skipped_with_a_warning_and_replaced(tmp_path: Path) -> None:
    path, warnings = tmp_path / "h.jsonl", list[str]()
    append(path, night(1, [1.0]))
    whole = path.read_text()
    path.write_text(whole + whole[: len(whole) // 2])
    assert len(read_history(path, "pocket", warnings.append)) == 1
    assert len(warnings) == 1
    assert f"{path}, line 2" in warnings[0]
    append(path, night(2, [2.0]))
    assert [one.time[:10] for one in read_history(path, "pocket", refuse)] == ["2026-01-01", "2026-01-02"]


def test_a_last_line_that_only_lacks_its_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    append(path, night(1, [1.0]))
    path.write_text(path.read_text().rstrip("\n"))
    append(path, night(2, [2.0]))
    assert len(read_history(path, "pocket", refuse)) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"schema": 2}', "schema 1 but of 2"),
        ("[]", "of None"),
        ("<<<<<<< ours", "not JSON"),
        ('{"schema": 1, "time": "x"}', "'columns'"),
    ],
)
def test_another_line_is_refused_with_its_place(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "h.jsonl"
    append(path, night(1, [1.0]))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UsageError, match=r"h\.jsonl, line 2: ") as refused:
        read_history(path, "pocket", refuse)
    assert said in str(refused.value)


def test_the_history_of_another_suite_is_refused(tmp_path: Path) -> None:
    append(tmp_path / "h.jsonl", night(1, [1.0]))
    with pytest.raises(UsageError, match="is of suite pocket, not of smol"):
        read_history(tmp_path / "h.jsonl", "smol", refuse)


def test_outside_a_checkout_the_history_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ropo_bench

    monkeypatch.setattr(ropo_bench, "__file__", str(tmp_path / "site-packages" / "ropo_bench" / "__init__.py"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_path("pocket") == tmp_path / "data" / "ropo-bench" / "history" / "pocket.jsonl"
    (tmp_path / "site-packages" / ".git").mkdir(parents=True)
    assert default_path("pocket") == tmp_path / "site-packages" / "results" / "history" / "pocket.jsonl"
