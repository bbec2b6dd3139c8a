"""Both sides for real, on a tiny model: they do the same work, and what they report is what they did."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import _core, dpo_step
from benchmarks._models import shape_of
from benchmarks._workload import MAX_LENGTH, lengthened, lengths, order, prepare, read_tokenized, train_tokenizer
from ropo_bench.errors import UsageError
from ropo_bench.preferences import tokenize_pairs
from ropo_bench.types import Message, Pair

STEPS = 3
WORDS = ("quick", "brown", "fox", "jumps", "over", "lazy", "dog", "while", "seven", "wizards", "brew", "potions")


def text(i: int, num_words: int) -> str:
    return " ".join(WORDS[(i * 5 + j * j) % len(WORDS)] for j in range(num_words))


def some_pairs(count: int) -> list[Pair]:
    return [
        Pair(
            str(i),
            (Message(role="user", content=text(i, 5 + i % 7)),),
            text(i + 1, 3 + i % 5),
            text(i + 2, 2 + i % 6),
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    records = [
        {"prompt": pair.prompt[0]["content"], "chosen": pair.chosen, "rejected": pair.rejected}
        for pair in some_pairs(30)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def workload(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workload")
    described = prepare(folder, str(data), shape_of("tiny"), STEPS * 8)
    assert described["num_pairs"] == STEPS * 8
    assert described["num_too_long"] == 0
    return folder


def spec(workload: Path, method: str, **extra: Any) -> dict[str, Any]:
    return {
        "workload": str(workload),
        "method": method,
        "seed": 1,
        "steps": STEPS,
        "micro_batch_size": 4,
        "dtype": "float32",
        "weights": "float32",
        "device": "cpu",
        "threads": 1,
        **extra,
    }


@pytest.mark.parametrize("method", ["lora-dpo", "ropo"])
def test_both_sides_do_the_same_work(method: str, workload: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="trl is not installed")
    from benchmarks import _peers

    ours = _core.run(spec(workload, method))
    assert ours["losses"][0] == pytest.approx(math.log(2), abs=1e-5)
    assert max(abs(loss - ours["losses"][0]) for loss in ours["losses"]) > 2e-5, "nothing could be told apart"
    for configuration in ("default", "best"):
        extra = {"configuration": configuration, "rows": str(tmp_path / configuration)}
        theirs = _peers.run(spec(workload, method, **extra))
        assert theirs["losses"] == pytest.approx(ours["losses"], abs=2e-6)
        assert theirs["logps_chosen"] == pytest.approx(ours["logps_chosen"], abs=1e-2)
        assert theirs["step_tokens"] == ours["step_tokens"]
        assert len(theirs["step_seconds"]) == len(ours["step_seconds"]) == STEPS - 1
        assert (theirs["reference_pairs"] > 0) == (configuration == "best")


def test_trls_reference_is_cached_from_one_child_to_the_next(workload: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="trl is not installed")
    from benchmarks import _peers

    extra = {"configuration": "best", "rows": str(tmp_path)}
    _peers.run(spec(workload, "lora-dpo", **extra))
    found = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.arrow")}
    _peers.run(spec(workload, "lora-dpo", **extra))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.arrow")} == found


def test_a_live_reference_gives_the_losses_of_the_cached_one(workload: Path) -> None:
    cached = _core.run(spec(workload, "ropo"))
    live = _core.run(spec(workload, "ropo", reference="live"))
    assert live["losses"] == pytest.approx(cached["losses"], abs=1e-6)


def test_a_reference_is_computed_once_for_all_runs(workload: Path, tmp_path: Path) -> None:
    path = tmp_path / "reference.jsonl"
    only = _core.run(spec(workload, "dpo", steps=0, reference=str(path)))
    assert only["losses"] == []
    written = path.read_text()
    assert len(written.splitlines()) == STEPS * 8
    _core.run(spec(workload, "ropo", reference=str(path)))
    assert path.read_text() == written


def test_the_gradients_of_step_1_are_kept(workload: Path, tmp_path: Path) -> None:
    kept = []
    for switches in ({}, {"packing": False, "prefix_sharing": False, "fused_head": False, "kernels": False}):
        path = tmp_path / f"{len(kept)}.pt"
        _core.run(spec(workload, "lora-dpo", steps=2, core=switches, gradients=str(path)))
        kept.append(torch.load(path))
    norm = float(kept[1].norm())
    assert norm > 0
    assert float((kept[0] - kept[1]).norm()) < 1e-4 * norm


def test_joined_texts_have_the_asked_lengths() -> None:
    pairs = some_pairs(60)
    tokenizer = train_tokenizer(pairs, 400)
    before = lengths(tokenize_pairs(pairs, tokenizer, 4000, 2000).pairs)
    grown = lengths(tokenize_pairs(lengthened(pairs, tokenizer, 120, 0.42), tokenizer, 4000, 2000).pairs)
    assert before["median_sequence_tokens"] < 40
    assert grown["median_sequence_tokens"] == pytest.approx(120, rel=0.05)
    ratio = grown["median_prompt_tokens"] / grown["median_completion_tokens"]
    assert ratio == pytest.approx(0.42, rel=0.1)
    twice = 2 * round(before["median_sequence_tokens"])
    longer = lengths(tokenize_pairs(lengthened(pairs, tokenizer, twice), tokenizer, 4000, 2000).pairs)
    assert longer["median_sequence_tokens"] == pytest.approx(twice, rel=0.1)
    assert longer["median_prompt_tokens"] > 1.5 * before["median_prompt_tokens"]
    assert longer["median_completion_tokens"] > 1.5 * before["median_completion_tokens"]


def test_real_pairs_at_ultrafeedbacks_lengths(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPO_BENCH_ASSETS", str(assets))
    described = prepare(tmp_path, "hh-long", shape_of("tiny"), 64)
    tokens = [len(p.prompt_ids) + len(c) for p in read_tokenized(tmp_path) for c in (p.chosen_ids, p.rejected_ids)]
    assert described["median_sequence_tokens"] == statistics.median(tokens)
    assert max(tokens) <= MAX_LENGTH
    assert described["median_sequence_tokens"] == pytest.approx(409, rel=0.2)  # 64 pairs drawn of 2,008


def test_each_pair_is_seen_once_and_the_order_is_the_products() -> None:
    steps = order(24, 5, 3)
    assert sorted(i for step in steps for i in step) == list(range(24))
    assert steps != order(24, 6, 3)


def test_too_little_data_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds 30 pairs, 80 are asked for; give fewer --steps"):
        prepare(tmp_path, str(data), shape_of("tiny"), 80)


def test_without_a_gpu_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert dpo_step.main(["--device", "cuda", "--shape", "llama3-8b"]) == 0
    assert "not measured (no GPU is at hand)" in capsys.readouterr().out
