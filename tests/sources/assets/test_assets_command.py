"""`ropo-bench assets list|fetch|verify`, through the command line."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ropo_bench.commands.assets import app
from ropo_bench.errors import UsageError
from ropo_bench.sources.assets import entries

QUESTIONS = "mt_bench/question.jsonl"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache, and no way out: the proxy is a closed port."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPO_BENCH_ASSETS", "")


def command(*arguments: str | Path) -> str:
    """What the command prints; raises what it raises."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


def rows(*arguments: str | Path) -> list[dict[str, Any]]:
    """The rows of its JSON."""
    found = json.loads(command(*arguments, "--json"))
    assert found["schema"] == 1
    return list(found["assets"])


@pytest.mark.usefixtures("no_mirror")
def test_list_needs_no_file_and_no_network() -> None:
    found = rows("list")
    assert [row["name"] for row in found] == [entry.name for entry in entries()]
    assert {row["place"] for row in found} == {"absent"}
    assert all(row["licence"] and row["purpose"] and row["sha256"] for row in found)
    line = command("list", QUESTIONS).splitlines()
    assert len(line) == 1
    for part in ("absent", "48,929", QUESTIONS, "Apache-2.0"):
        assert part in line[0]


@pytest.mark.usefixtures("no_mirror")
def test_a_folder_means_all_below_it() -> None:
    found = {row["name"] for row in rows("list", "mt_bench/reference_answer", QUESTIONS)}
    assert found == {
        QUESTIONS,
        "mt_bench/reference_answer/gpt-4.jsonl",
        "mt_bench/reference_answer/gpt-4-1106-preview.jsonl",
    }


@pytest.mark.usefixtures("no_mirror")
@pytest.mark.parametrize("names", [[], [QUESTIONS]])
def test_fetch_offline_is_one_line(names: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        command("fetch", *names)
    message = str(caught.value)
    assert "cannot be had" in message
    assert "--assets DIR" in message
    assert "\n" not in message


@pytest.mark.usefixtures("no_mirror")
def test_verify_of_nothing_at_all_says_absent() -> None:
    with pytest.raises(
        UsageError, match=r"nothing to verify: .*none set.*--assets DIR, or run `assets fetch`"
    ) as caught:
        command("verify")
    assert "\n" not in str(caught.value)
    result = CliRunner().invoke(app, ["verify", "--json"])
    assert isinstance(result.exception, UsageError)
    assert {row["state"] for row in json.loads(result.output)["assets"]} == {"absent"}
    with pytest.raises(UsageError, match=QUESTIONS):
        command("verify", QUESTIONS)


def test_what_is_here_is_counted_beside_what_is_not(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROPO_BENCH_ASSETS", "")
    (tmp_path / "mirror/mt_bench").mkdir(parents=True)
    shutil.copy(assets / QUESTIONS, tmp_path / "mirror" / QUESTIONS)
    *_, last = command("verify", "--assets", tmp_path / "mirror").splitlines()
    number = len(entries())
    assert last.startswith(
        f"1 of {number} assets verified; {number - 1} are neither in the mirror ({tmp_path}/mirror)"
    )
    assert command("verify", QUESTIONS).splitlines()[-1] == "1 of 1 assets verified"


def test_the_real_mirror_is_fetched_and_verified_whole(assets: Path) -> None:
    assert {row["state"] for row in rows("verify", "--assets", assets)} == {"verified"}
    fetched = rows("fetch")
    assert {row["state"] for row in fetched} == {"present"}
    assert {row["place"] for row in rows("list")} == {"mirror"}


def test_a_changed_file_fails_and_the_others_are_told(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROPO_BENCH_ASSETS", "")  # --assets sets it for the process: put it back afterwards
    mirror = tmp_path / "mirror"
    shutil.copytree(assets / "mt_bench/reference_answer", mirror / "mt_bench/reference_answer")
    (mirror / QUESTIONS).write_bytes((assets / QUESTIONS).read_bytes()[:-1])
    result = CliRunner().invoke(app, ["verify", "mt_bench/reference_answer", QUESTIONS, "--assets", str(mirror)])
    assert isinstance(result.exception, UsageError)
    assert "sha256" in str(result.exception)
    assert result.output.count("verified") == 2
