"""Verifying: a published table is derived again from its scores, and any change is named."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from ropo_bench.commands.publish import publish_command
from ropo_bench.commands.verify import verify_command
from ropo_bench.errors import StorageError, UsageError
from ropo_bench.publishing import read_table, results_in, verify
from ropo_bench.runs.reading import Run
from tests.publishing.editing import change


def test_a_published_result_is_derived_again_from_its_scores(result: Path) -> None:
    found = verify(result)
    assert (found.state, found.differences, found.notes) == ("OK", (), ())
    assert found.num_cells == 3 * 4
    assert results_in(result.parent) == [result] == results_in(result)


def test_verify_needs_no_store_and_no_torch(copy: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ropo_bench.commands.verify import verify_command; "
        f"verify_command([Path({str(copy.parent)!r})], True); "
        "assert not {'torch', 'transformers', 'datasets', 'openai', 'vllm'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=copy)
    assert [entry["state"] for entry in json.loads(done.stdout)["results"]] == ["OK"]


def test_a_changed_cell_is_named_with_both_numbers(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(table: Any) -> None:
        row = next(row for row in table["rows"] if row["name"] == "ropo")
        cell = next(cell for cell in row["cells"] if cell["metric"] == "length")
        cell["value"] += 1

    was = next(
        cell["value"]
        for row in json.loads((copy / "table.json").read_text())["rows"]
        for cell in row["cells"]
        if (row["name"], cell["metric"]) == ("ropo", "length")
    )
    change(copy / "table.json", edit)
    with pytest.raises(typer.Exit) as left:
        verify_command([copy], False)
    assert left.value.exit_code == 1
    shown = capsys.readouterr().out
    assert shown.startswith("DIFFERS")
    assert f"ropo, tiny-arena.length: value published {was + 1}, derived {was}" in shown
    assert "table.json: sha256" in shown


def test_a_changed_score_moves_what_follows_from_it(copy: Path) -> None:
    lines = gzip.decompress((copy / "scores.jsonl.gz").read_bytes()).decode().splitlines()
    scores = [json.loads(line) for line in lines]
    next(line for line in scores if line["metric"] == "length")["rows"]["dpo"][0] += 4
    text = "".join(json.dumps(score) + "\n" for score in scores)
    (copy / "scores.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    found = verify(copy)
    assert found.state == "DIFFERS"
    assert any(line.startswith("dpo, tiny-arena.length: value published") for line in found.differences)
    (line,) = (line for line in found.differences if line.startswith("table.md, line "))
    assert "published '| dpo | " in line
    assert line.count(" | ") == 2  # of both rows the name and the cell that differs
    assert not any(line.startswith(("SFT,", "ropo,")) for line in found.differences)


def test_a_table_that_is_another_one_today_can_be_written_again(copy: Path) -> None:
    """As after a change of how tables are worded: the files are whole, their table is of yesterday."""
    table = (copy / "table.md").read_text()
    old = table.replace("seeds: 0", "seeds: 7")
    (copy / "table.md").write_text(old)
    sha256 = [hashlib.sha256(text.encode()).hexdigest() for text in (table, old)]
    manifest = (copy / "manifest.json").read_text().replace(*sha256)
    (copy / "manifest.json").write_text(manifest)
    (line,) = verify(copy).differences
    assert "published '- seeds: 7', derived '- seeds: 0'" in line
    assert (copy / "table.md").read_text() == old
    assert verify(copy, write=True).state == "REWRITTEN"
    assert (copy / "table.md").read_text() == table
    assert verify(copy).state == "OK"
    (copy / "table.md").write_text(old)  # and now changed by hand
    assert verify(copy, write=True).state == "DIFFERS"
    assert (copy / "table.md").read_text() == old


def test_rounding_is_no_difference(copy: Path) -> None:
    def edit(table: Any) -> None:
        for row in table["rows"]:
            for cell in row["cells"]:
                if cell["value"]:
                    cell["value"] *= 1 + 1e-11

    change(copy / "table.json", edit)
    assert [line.split(":")[0] for line in verify(copy).differences] == ["table.json"]  # its hash alone


@pytest.mark.parametrize("name", ["table.md", "scores.jsonl.gz", "recipe.json"])
def test_a_missing_file_is_found(copy: Path, name: str) -> None:
    (copy / name).unlink()
    found = verify(copy)
    assert found.state == "DIFFERS"
    assert f"{name}: in the manifest, not in the folder" in found.differences
    assert found.reason


@pytest.mark.parametrize("key", ["files", "derived_with"])
def test_a_damaged_manifest_is_said_so(copy: Path, key: str) -> None:
    change(copy / "manifest.json", lambda value: value.pop(key))
    found = verify(copy)
    assert found.state == "DIFFERS"
    assert found.differences[0].startswith("manifest.json: damaged")


@pytest.mark.parametrize("damage", [(b'"schema":', b'"schemb":'), (b"{", b"["), (b"ropo-bench/", b"ropo-cench/")])
def test_a_result_with_a_damaged_manifest_is_not_passed_over(
    copy: Path, tmp_path: Path, damage: tuple[bytes, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "results" / "whole"
    shutil.copytree(copy, whole)
    shutil.copytree(copy, whole.with_name("damaged"))
    path = whole.with_name("damaged") / "manifest.json"
    assert damage[0] in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(*damage, 1))
    with pytest.raises(typer.Exit) as stop:
        verify_command([whole.parent], json=False)
    assert stop.value.exit_code == 1
    assert f"DIFFERS  {path.parent}: manifest.json is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"files": 3}', b"\xff"])
def test_a_table_beside_a_damaged_manifest_is_no_baseline(copy: Path, damaged: bytes) -> None:
    (copy / "manifest.json").write_bytes(damaged)
    with pytest.raises(StorageError, match=r"table\.json: is not what manifest\.json beside it says"):
        read_table(copy)


def test_damaged_scores_are_said_so(copy: Path) -> None:
    data = bytearray((copy / "scores.jsonl.gz").read_bytes())
    data[100:120] = bytes(20)
    (copy / "scores.jsonl.gz").write_bytes(data)
    found = verify(copy)
    assert found.state == "DIFFERS"
    assert "not a file of scores" in str(found.reason)


def test_a_result_needs_a_folder_of_its_own(made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"--out \.: give a folder of its own"):
        publish_command("mine", Path(), [], made.store.root, True)


def test_a_file_with_a_key_is_found_and_the_key_is_not_spread(copy: Path) -> None:
    key = "hf_" + "Ab1" * 12
    (copy / "notes.txt").write_text(f"token: {key}\n")
    (copy / "more.gz").write_bytes(gzip.compress(f"Authorization: Bearer {key}".encode()))
    found = "\n".join(verify(copy).differences)
    assert "notes.txt: holds what looks like a key" in found
    assert "more.gz: holds what looks like a key" in found
    assert "notes.txt: in the folder, not in the manifest" in found
    assert key not in found


def test_what_needs_data_that_is_not_here_is_not_called_right(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def estimators() -> Mapping[str, Any]:
        raise UsageError("asset alpaca_eval/calibration/df_gamed.csv: not here")

    monkeypatch.setattr("ropo_bench.publishing.derive.estimators", estimators)
    found = verify(copy)
    assert (found.state, found.reason) == (
        "NOT DERIVED",
        "asset alpaca_eval/calibration/df_gamed.csv: not here",
    )
    with pytest.raises(typer.Exit) as left:
        verify_command([copy], False)
    assert left.value.exit_code == 3


def test_a_folder_without_a_result_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(UsageError, match="no result in it"):
        results_in(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        results_in(tmp_path / "nothing")


def test_the_commands_print_json(made: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_command("mine", tmp_path / "out", [], made.store.root, True)
    said = json.loads(capsys.readouterr().out)
    assert said["total_bytes"] == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    publish_command(None, tmp_path / "out", [], made.store.root, False)
    assert "there already, unchanged" in capsys.readouterr().out
    verify_command([tmp_path], False)
    assert capsys.readouterr().out.startswith("OK  ")


def test_other_words_under_a_table_are_no_difference(copy: Path) -> None:
    table = (copy / "table.md").read_text()
    old = table.replace("seeds: 0", "the seeds: 0")
    (copy / "table.md").write_text(old)
    sha256 = [hashlib.sha256(text.encode()).hexdigest() for text in (table, old)]
    (copy / "manifest.json").write_text((copy / "manifest.json").read_text().replace(*sha256))
    assert verify(copy).state == "OK"
