"""What goes wrong in real life, through the real command: the exit code, one clear line, nothing finished lost."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny_suite
from tests.test_pipeline import finish, ropo_bench, rows


@pytest.fixture
def suite(base_folder: Path, tmp_path: Path) -> list[str]:
    return tiny_suite.write(tmp_path / "suite", base_folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_and_more_room_goes_on(suite: list[str], small_disk: Path, tmp_path: Path) -> None:
    command = ["run", "--methods", "dpo", *suite, "--runs", str(small_disk / "runs"), "--json"]
    code, _, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 4, err
    assert "free some space" in err
    assert "Traceback" not in err
    finished = {path: path.stat().st_mtime_ns for path in small_disk.glob("runs/cache/*/*/manifest.json")}
    assert finished
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err
    assert rows(out)["dpo"]["state"] == "done"
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_a_corrupt_checkpoint_stops_its_method_only(suite: list[str], tmp_path: Path) -> None:
    command = ["run", "--methods", "dpo,ropo", *suite, "--set", "dpo.train.epochs=100", "--json"]
    process = ropo_bench(*command, cwd=tmp_path)
    for _ in range(600):
        found = list((tmp_path / "runs/cache/policy").glob("*/checkpoint.safetensors"))
        if found:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found[0].write_bytes(found[0].read_bytes()[:-1000])
    code, out, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 4
    assert "checkpoint.safetensors" in err
    assert "delete that file" in err
    assert rows(out)["ropo"]["state"] == "done"
    assert rows(out)["dpo"]["state"].startswith("failed")


def test_malformed_pairs_are_left_out_up_to_one_percent(suite: list[str], tmp_path: Path) -> None:
    pairs = [{"prompt": f"p{i}", "chosen": "yes", "rejected": "no"} for i in range(200)]
    lines = [json.dumps(pair) for pair in pairs]
    lines[7] = '{"prompt": "p7", "chosen": 3}'
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(lines) + "\n")
    command = ["run", "--methods", "ropo", *suite, "--data", str(path), "--set", "train.max_steps=2", "--json"]
    code, _, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 0, err
    run = next((tmp_path / "runs").glob("*/run.json"))
    left_out = json.loads(run.read_text())["data"]["left_out"]
    assert [item["id"] for item in left_out] == ["8"]
    lines[8] = lines[9] = "not json"
    path.write_text("\n".join(lines) + "\n")
    code, _, err = finish(ropo_bench(*command, cwd=tmp_path))
    assert code == 2
    assert all(word in err.splitlines()[-1] for word in ("pairs.jsonl", "3 of 200", "1 %"))


def test_a_failed_certificate_stops_its_method_only(suite: list[str], tmp_path: Path) -> None:
    folder = Path(suite[-1])
    path = folder / "suites" / "tiny.yaml"
    path.write_text(path.read_text() + "merge: {dtype: bfloat16, mean_kl: 1e-12}\n")
    code, out, err = finish(ropo_bench("run", "--methods", "ropo", *suite, "--json", cwd=tmp_path))
    assert code == 4, err
    assert "merge.dtype: float32" in err
    assert rows(out)["ropo"]["state"].startswith("failed")
    assert rows(out)["SFT"]["state"] == "done"
