from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from ropo_bench.commands.publish import publish_command
from ropo_bench.commands.run import Asked, Limits, run_command
from ropo_bench.commands.verify import verify_command
from ropo_bench.errors import RopoBenchError, StorageError, UnfinishedRun, UsageError
from ropo_bench.leaderboard import leaderboard
from ropo_bench.publishing import publish, results_in, verify
from ropo_bench.publishing.names import is_local, keys_in, paths_in, without
from ropo_bench.publishing.scores import from_bytes, numbers_only, published_scores, to_bytes
from ropo_bench.reporting.formats import from_json
from ropo_bench.runs import Store
from ropo_bench.types import Score
from tests import tiny_suite

COMMIT = "0123456789" * 4


@pytest.fixture(scope="module")
def made(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    """A finished run as a clean checkout makes it, whatever the tests run in."""
    folder = tmp_path_factory.mktemp("made")
    tiny_suite.write(folder / "suite", base_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ropo_bench.provenance.code_version", lambda _: {"commit": COMMIT, "dirty": False})
        asked = Asked("ropo,dpo", "tiny", include=[folder / "suite"], sets=["train.epochs=1"])
        run_command(asked, folder / "runs", "mine", True, Limits())
    return Store(folder / "runs"), "mine"


@pytest.fixture(scope="module")
def result(made: tuple[Store, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(*made, tmp_path_factory.mktemp("results") / "mine").folder


@pytest.fixture
def copy(result: Path, tmp_path: Path) -> Path:
    shutil.copytree(result, tmp_path / "result")
    return tmp_path / "result"


def texts(folder: Path) -> dict[str, str]:
    read = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {name: (gzip.decompress(data) if name.endswith(".gz") else data).decode() for name, data in read.items()}


def change(path: Path, edit: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value, indent=1))


def altered(store: Store, into: Path, edit: Callable[[dict[str, Any]], None]) -> Store:
    """Another store with the same stages and a run record that differs."""
    into.mkdir()
    (into / "cache").symlink_to(store.root / "cache")
    record = store.read_run("mine")
    edit(record)
    Store(into).write_run("mine", record)
    return Store(into)


# -- publish ---------------------------------------------------------------------------------------------------


def test_a_result_is_small_and_holds_numbers_not_texts(result: Path) -> None:
    files = texts(result)
    assert sorted(files) == [
        "certificates.json", "manifest.json", "provenance.json", "recipe.json", "scores.jsonl.gz", "table.json",
        "table.md", "training.csv",
    ]  # fmt: skip
    assert sum(path.stat().st_size for path in result.iterdir()) < 60_000
    for name, text in files.items():
        assert "question" not in text, name  # the prompts are "question 0?"
        assert not paths_in(text), name
    scores = [json.loads(line) for line in files["scores.jsonl.gz"].splitlines()]
    assert all(list(line["rows"]) == ["SFT", "ropo", "dpo"] for line in scores)
    assert {key for line in scores for key in line} <= {"task", "metric", "item", "cluster", "detail", "rows"}


def test_it_says_what_the_runs_own_table_says(made: tuple[Store, str], result: Path) -> None:
    published, board = from_json((result / "table.json").read_text()), leaderboard(*made)
    assert [row.cells for row in published.rows] == [row.cells for row in board.rows]
    assert list(published.comparisons) == list(board.comparisons)
    assert len(published.comparisons) == 3


def test_paths_become_names_and_hashes(result: Path, base_folder: Path) -> None:
    recipe = json.loads((result / "recipe.json").read_text())
    assert recipe["suite"]["base"] == base_folder.name
    assert recipe["suite"]["data"] == "pairs.jsonl"
    made = json.loads((result / "provenance.json").read_text())
    files = {entry["where"]: entry for entry in made["files"]}
    assert files["tasks.tiny-arena.prompts"]["name"] == "prompts.jsonl"
    assert all(len(entry["sha256"]) == 64 for entry in files.values())
    assert made["commits"] == [COMMIT]
    assert made["trained"][0]["rows"] == ["ropo 0", "dpo 0"]
    assert f"base {base_folder.name} · data pairs.jsonl" in (result / "table.md").read_text()


def test_the_training_table_has_each_logs_first_and_last_losses(result: Path) -> None:
    head, *lines = [line.split(",") for line in (result / "training.csv").read_text().splitlines()]
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    assert [row["row"] for row in rows] == ["ropo", "dpo"]
    for row in rows:
        assert float(row["loss.first"]) == pytest.approx(0.6931, abs=1e-3)
        assert float(row["loss.last_tenth"]) < float(row["loss.first"])


def test_the_same_run_gives_the_same_bytes_and_another_is_refused(
    made: tuple[Store, str], copy: Path, tmp_path: Path
) -> None:
    assert publish(*made, copy).unchanged
    again = publish(*made, tmp_path / "again")
    assert not again.unchanged
    assert {p.name: p.read_bytes() for p in again.folder.iterdir()} == {
        p.name: p.read_bytes() for p in copy.iterdir()
    }
    (copy / "table.md").write_text("another")
    with pytest.raises(UsageError, match=r"another result \(table.md differs\)"):
        publish(*made, copy)
    assert (copy / "table.md").read_text() == "another"


def dirty(record: dict[str, Any]) -> None:
    record["rows"][1]["training"]["made_with"]["code"]["dirty"] = True


def no_checkout(record: dict[str, Any]) -> None:
    record["provenance"]["code"] = {"commit": None, "dirty": None}


def failed(record: dict[str, Any]) -> None:
    record["rows"][2]["state"] = "failed: the loss is NaN at step 3"
    record["complete"] = False


@pytest.mark.parametrize(
    ("edit", "error", "words"),
    [
        (dirty, UsageError, "ropo seed 0 was made from a dirty tree"),
        (no_checkout, UsageError, "its last part was made outside a git checkout"),
        (failed, UnfinishedRun, r"not finished: dpo seed 0 \(failed: the loss is NaN at step 3\)"),
    ],
)
def test_what_may_not_be_published(
    made: tuple[Store, str],
    tmp_path: Path,
    edit: Callable[[dict[str, Any]], None],
    error: type[RopoBenchError],
    words: str,
) -> None:
    store = altered(made[0], tmp_path / "runs", edit)
    with pytest.raises(error, match=words) as refusal:
        publish(store, "mine", tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == (4 if error is UnfinishedRun else 2)
    assert not (tmp_path / "out").exists()


def test_several_commits_must_all_be_named(made: tuple[Store, str], tmp_path: Path) -> None:
    def two(record: dict[str, Any]) -> None:
        record["provenance"]["code"]["commit"] = "f" * 40

    store = altered(made[0], tmp_path / "runs", two)
    with pytest.raises(UsageError, match=r"made by 2 commits.*--commit 012345678901 --commit ffffffffffff"):
        publish(store, "mine", tmp_path / "out", [COMMIT])
    with pytest.raises(UsageError, match="--commit abc: nothing in it was made by that"):
        publish(store, "mine", tmp_path / "out", ["abc"])
    publish(store, "mine", tmp_path / "out", ["012345", "fff"])
    assert json.loads((tmp_path / "out/provenance.json").read_text())["commits"] == [COMMIT, "f" * 40]


def test_a_key_in_a_recipe_is_not_published(made: tuple[Store, str], tmp_path: Path) -> None:
    def leak(record: dict[str, Any]) -> None:
        record["request"]["tasks"][0]["options"]["header"] = "sk-" + "a1" * 12

    with pytest.raises(UsageError, match=r"recipe.json would hold what looks like a key: sk-a1a\.\.\.;"):
        publish(altered(made[0], tmp_path / "runs", leak), "mine", tmp_path / "out")


# -- verify ----------------------------------------------------------------------------------------------------


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


def test_damaged_scores_are_said_so(copy: Path) -> None:
    data = bytearray((copy / "scores.jsonl.gz").read_bytes())
    data[100:120] = bytes(20)
    (copy / "scores.jsonl.gz").write_bytes(data)
    found = verify(copy)
    assert found.state == "DIFFERS"
    assert "not a file of scores" in str(found.reason)


def test_a_result_needs_a_folder_of_its_own(
    made: tuple[Store, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"--out \.: give a folder of its own"):
        publish_command("mine", Path(), [], made[0].root, True)


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


def test_the_commands_print_json(made: tuple[Store, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_command("mine", tmp_path / "out", [], made[0].root, True)
    said = json.loads(capsys.readouterr().out)
    assert said["total_bytes"] == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    publish_command(None, tmp_path / "out", [], made[0].root, False)
    assert "there already, unchanged" in capsys.readouterr().out
    verify_command([tmp_path], False)
    assert capsys.readouterr().out.startswith("OK  ")


# -- names and scores ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("base /home/me/models/llama", ["/home/me/models/llama"]),
        ("~/models/x and file:///tmp/y", ["~/models/x", "file:///tmp/y"]),
        (r"C:\Users\me", [r"C:\Users\me"]),
        ("cannot be read:/home/me/x", ["/home/me/x"]),
        ("accuracy/boolq rewards/chosen 6.8/10 https://api.openai.com/v1/chat", []),
        ("princeton-nlp/Llama-3-Base-8B-SFT pocket:sft ropo_bench.pocket.judge:grade_turns", []),
    ],
)
def test_paths_of_a_machine_are_told_from_other_names(text: str, found: list[str]) -> None:
    assert paths_in(text) == found


def test_keys_are_told_from_other_words() -> None:
    keys = ["sk-proj-abcdefghij0123456789", "hf_" + "a" * 30, "ghp_" + "b" * 36, "AKIA" + "Q" * 16,
            "Bearer abcdefghijklmnop0123", "https://me:secret@judge.example.org/v1",
            "-----BEGIN RSA PRIVATE KEY"]  # fmt: skip
    for key in keys:
        (shown,) = keys_in(f"x {key} y")
        assert key not in shown
    assert keys_in("task-energy sk-1 1b87905b23760a55cf830e2422d2b8e221840a3a OPENAI_API_KEY bearer of news") == []


def test_local_files_are_told_from_hub_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/pairs.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert is_local(str(tmp_path))
    assert is_local("data/pairs.jsonl")
    assert is_local("../x")
    assert not is_local("A sentence. " * 30)  # longer than a file's name may be
    for name in ("org/model", "pocket:sft", "hf", "HuggingFaceH4/ultrafeedback_binarized:train_prefs"):
        assert not is_local(name)
    assert without({"a": ["/x/y/z of /x/y"]}, {"/x/y": "y", "/x/y/z": "z"}) == {"a": ["z of y"]}


def test_scores_come_back_in_their_own_order() -> None:
    given = [
        Score("b", "b", "m", 0.1 + 0.2, detail={"turn": 1}),
        Score("a", "p", "m", None, "unparsable"),
        Score("a", "p", "other", 3),
    ]
    again = [Score("a", "p", "m", 2.0, detail={"length_delta": 3}), Score("a", "p", "m", 4.0)]  # an item twice
    scores = published_scores({"t": {"row": [given, given[:1]], "other": [again]}}, {"t": {"m"}})
    data = to_bytes(scores)
    assert from_bytes(data, "here") == {"t": {"row": [given[:2], given[:1]], "other": [again]}}
    assert data[4:8] == bytes(4)  # no time in it
    assert to_bytes(from_bytes(data, "here")) == data
    spoiled = bytearray(data)
    spoiled[20:30] = bytes(10)
    for wrong in (data[:-9], bytes(spoiled)):
        with pytest.raises(StorageError, match="here: not a file of scores"):
            from_bytes(wrong, "here")


def test_texts_are_not_numbers() -> None:
    detail = {"problem": "no verdict", "category": "writing", "length_delta": -3, "kind": "a\nb", "prediction": 2}
    kept = numbers_only(Score("Write a poem\nabout it", "Write a poem", "m", 1.0, detail=detail))
    assert kept.detail == {"category": "writing", "length_delta": -3}
    assert kept.item.startswith("sha256-")
    assert " " not in kept.cluster
    assert kept.item != kept.cluster


def test_other_words_under_a_table_are_no_difference(copy: Path) -> None:
    table = (copy / "table.md").read_text()
    old = table.replace("seeds: 0", "the seeds: 0")
    (copy / "table.md").write_text(old)
    sha256 = [hashlib.sha256(text.encode()).hexdigest() for text in (table, old)]
    (copy / "manifest.json").write_text((copy / "manifest.json").read_text().replace(*sha256))
    assert verify(copy).state == "OK"
