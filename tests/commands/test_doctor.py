"""`ropo-bench doctor`: what this machine lacks for a suite, and how to mend it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer import Exit

from ropo_bench.commands.doctor import doctor_command
from ropo_bench.doctor import judges as judging
from ropo_bench.doctor import machine, materials
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.load import load_judge, load_suite, load_task
from tests.judging.judge_server import JudgeServer

KEY = "sk-marked-5b1d0c77e9a34f21"
CODE = "import sys; from ropo_bench.commands.app import main; sys.argv = ['ropo-bench', *sys.argv[1:]]; main()"


def doctor(*arguments: str, folder: Path, **environment: str) -> tuple[int, dict[str, Any], str]:
    """The real command in a process of its own, in an empty home."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI", "ROPO_BENCH", "HF_"))}
    env |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), **environment}
    command = [sys.executable, "-c", CODE, "doctor", *arguments, "--runs", str(folder / "runs"), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=120)
    assert run.stdout, run.stderr
    return run.returncode, json.loads(run.stdout), run.stdout + run.stderr


def lines(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in record["lines"]}


def test_pocket_can_run_here(tmp_path: Path) -> None:
    code, record, _ = doctor("--suite", "pocket", folder=tmp_path)
    assert code == 0
    assert record["can_run"]
    found = lines(record)
    assert {"packages", "torch", "vllm", "memory", "disk", "network", "base", "template", "data"} <= found.keys()
    assert "one BOS" in found["template"]["text"]
    assert not (tmp_path / "runs").exists()


def test_an_8b_suite_without_network_says_what_is_missing_and_how_to_mend_it(tmp_path: Path) -> None:
    began = time.perf_counter()
    closed = "http://127.0.0.1:9"  # nothing listens there
    code, record, text = doctor("--suite", "llama3-8b", folder=tmp_path, HF_ENDPOINT=closed, OPENAI_API_KEY="")
    assert time.perf_counter() - began < 30  # 4 s on an idle machine
    assert code == 4
    assert not record["can_run"]
    found = lines(record)
    assert found["network"]["state"] == "warning"
    for name, words in {
        "base": "princeton-nlp/Llama-3-Base-8B-SFT",
        "data": "ultrafeedback_binarized",
        "assets": "mt_bench/question.jsonl",
        "key": "OPENAI_API_KEY",
    }.items():
        assert found[name]["state"] == "problem", found[name]
        assert words in found[name]["text"]
        assert found[name]["mend"]
    assert "Traceback" not in text


def test_a_base_of_ones_own_is_examined(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("ROPO_BENCH_ASSETS", raising=False)
    with suppress(Exit):
        doctor_command("llama3-8b", None, str(base_folder), True, tmp_path / "runs")
    found = lines(json.loads(capsys.readouterr().out))
    assert found["base"]["state"] == "ok"
    assert found["template"]["state"] == "ok"
    assert "HF_HUB_OFFLINE" in found["network"]["text"]


def test_no_line_ever_holds_a_key(tmp_path: Path) -> None:
    _, record, text = doctor("--suite", "smol", folder=tmp_path, HF_HUB_OFFLINE="1", OPENAI_API_KEY=KEY)
    assert lines(record)["key"]["state"] == "ok"
    assert KEY not in text


def test_a_template_that_training_cannot_use_is_a_problem(base_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "base"
    shutil.copytree(base_folder, folder)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    line = materials._template(folder, "nothing/there")
    assert line.state == "problem"
    assert "special token" in line.text


def test_a_damaged_benchmark_file_is_a_problem(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mt_bench").mkdir()
    (tmp_path / "mt_bench" / "question.jsonl").write_text("{}\n")
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path / "none"))
    tasks = [load_task("mt-bench")]
    assert materials._benchmark_files(*materials._files(tasks), offline=True).state == "ok"
    monkeypatch.setenv("ROPO_BENCH_ASSETS", str(tmp_path))
    damaged = materials._benchmark_files(*materials._files(tasks), offline=True)
    assert damaged.state == "problem"
    assert "question.jsonl" in damaged.text


def test_a_network_that_answers_is_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with JudgeServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)  # any answer over HTTP is an answer
        assert materials._probe().state == "ok"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert materials._probe().state == "warning"


def judge(url: str, **changes: Any) -> JudgeRecipe:
    given = {"name": "test", "description": "a test", "model": "judge-1", "base_url": url, "key_env": None}
    return JudgeRecipe(**{**given, **changes})


def test_a_ping_is_one_real_question() -> None:
    with JudgeServer() as server:
        line = judging.ping(judge(server.url))
        assert line.state == "ok", line
        assert server.counts.plain()["sent"] == 1


def test_a_dead_endpoint_is_a_problem_soon() -> None:
    began = time.perf_counter()
    line = judging.ping(judge("http://127.0.0.1:9/v1", timeout_seconds=1.0))
    assert line.state == "problem"
    assert line.mend
    assert time.perf_counter() - began < 25


def test_a_missing_key_is_named_and_a_function_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_A_KEY", raising=False)
    missing, none = judging.keys({"a": judge("http://x", key_env="NOT_A_KEY"), "b": load_judge("pocket")})
    assert (missing.state, none.state) == ("problem", "ok")
    assert "NOT_A_KEY" in missing.text
    assert judging.ping(load_judge("pocket")).state == "ok"


def test_a_model_that_fits_nowhere_is_a_problem_and_an_unwritable_folder_too(tmp_path: Path) -> None:
    suite = load_suite("llama3-8b")
    assert suite.shape is not None
    huge = suite.shape.model_copy(update={"num_hidden_layers": 40_000})
    (line,) = machine.memory(suite.model_copy(update={"shape": huge}))
    assert line.state == "problem"
    (line,) = machine.memory(load_suite("pocket"))
    assert line.state == "ok"
    (tmp_path / "file").touch()
    assert machine.disk(load_suite("pocket"), tmp_path / "file" / "runs").state == "problem"
    assert machine.disk(load_suite("pocket"), tmp_path / "runs").state == "ok"
