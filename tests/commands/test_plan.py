from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ropo_bench import planning
from ropo_bench.commands.plan import plan, plan_command
from ropo_bench.commands.plan_steps import pairs_stage
from ropo_bench.commands.run import Asked, Limits, resolve, run_command
from ropo_bench.methods import TrainRecipe
from ropo_bench.recipes import load_judge, load_task
from ropo_bench.runs import Store
from ropo_bench.suites import ShapeRecipe
from tests import tiny_suite

GIB = 1 << 30


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan opens no connection."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)


def planned(asked: Asked, runs: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(json.dumps(plan(resolve(asked), Store(runs))))
    return record


def states(record: dict[str, Any], stage: str) -> Counter[str]:
    return Counter(step["state"] for step in record["steps"] if step["stage"] == stage)


def test_a_real_suite_is_planned_without_model_data_or_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROPO_BENCH_ASSETS", raising=False)
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path / "none"))
    record = planned(Asked("ropo,dpo", "llama3-8b", seeds=3), tmp_path / "runs")
    assert record["base"] == {
        "name": "princeton-nlp/Llama-3-Base-8B-SFT",
        "here": False,
        "num_parameters": 8_030_261_248,
    }
    assert "not on this machine" in record["nothing_cached_because"]
    assert {step["state"] for step in record["steps"]} == {"to do"}
    assert states(record, "train") == {"to do": 6}
    assert states(record, "generate") == {"to do": 14}  # MT-Bench's answers serve three tasks
    calls = {entry["task"]: (entry["models"], entry["calls"]) for entry in record["judging"]}
    assert calls["mt-bench"] == (7, 7 * 160)
    assert calls["mt-bench-pairwise"] == (6, 6 * 320)  # the baseline is not compared with itself
    assert calls["alpaca-eval-2"] == (7, 7 * 805)
    assert [calls[f"canaries of {task}"][1] for task in ("mt-bench", "mt-bench-pairwise")] == [80, 140]
    assert [entry["num_steps"] for entry in record["training"]] == [478, 478]
    dpo = next(entry for entry in record["training"] if entry["method"] == "dpo")
    assert dpo["memory"]["gradients"] == 4 * 8_030_261_248
    assert dpo["memory"]["optimizer"] == 8 * 8_030_261_248
    assert record["disk"]["needed_bytes"] > 3 * (4 + 2) * 8_030_261_248
    assert record["seconds"] is None
    assert record["no_basis_for_time"]
    assert not (tmp_path / "runs").exists()


def test_what_a_column_can_see_is_the_designs_figure(tmp_path: Path) -> None:
    found = {entry["header"]: entry for entry in planned(Asked("dpo", "mistral-7b"), tmp_path)["detectable"]}
    assert found["alpaca-eval-2 WR %"]["effect"] == pytest.approx(4.0, abs=0.06)
    assert found["mt-bench-pairwise WWR %"]["at_most"]
    assert found["mt-bench MT-Bench"]["effect"] < 1


def test_a_plan_is_quick_and_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ropo_bench.commands.plan import plan_command; "
        "from ropo_bench.commands.run import Asked, resolve; from ropo_bench.runs import Store; "
        f"plan_command(resolve(Asked('ropo,dpo', 'llama3-8b')), Store(Path({str(tmp_path)!r})), False); "
        "assert not {'torch', 'transformers', 'datasets', 'openai', 'vllm', 'sklearn'} & sys.modules.keys()"
    )
    began = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - began < 8.0  # 1.5 s on an idle machine; tests share theirs
    assert all(words in run.stdout for words in ("everything is to do", "alpaca-eval-2", "US$", "GiB"))
    assert max(map(len, run.stdout.splitlines())) <= 120


def test_a_finished_run_has_nothing_to_do_and_gives_a_basis_for_more(
    base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_suite.write(tmp_path / "suite", base_folder)
    asked = Asked("dpo", "tiny", include=[tmp_path / "suite"])
    runs = tmp_path / "runs"
    before = planned(asked, runs)
    assert states(before, "train") == {"to do": 1}
    assert not runs.exists()
    run_command(asked, runs, None, True, Limits())
    capsys.readouterr()
    after = planned(asked, runs)
    assert {step["state"] for step in after["steps"]} == {"cached"}
    assert after["seconds"] == 0
    assert after["disk"]["needed_bytes"] == 0
    files = sorted(runs.rglob("*"))
    more = planned(Asked("dpo,ropo", "tiny", seeds=2, include=[tmp_path / "suite"]), runs)
    assert states(more, "train") == {"cached": 1, "to do": 3}
    timed = {(step["row"], step["seed"]): step["seconds"] for step in more["steps"] if step["stage"] == "train"}
    assert timed["dpo", 1] == pytest.approx(timed["dpo", 0], rel=0.01)
    assert timed["ropo", 0] is None
    assert more["seconds_known"] > timed["dpo", 1]
    assert sorted(runs.rglob("*")) == files  # looking is not touching
    plan_command(resolve(asked), Store(runs), False)
    assert "dpo" in capsys.readouterr().out


def test_the_pairs_are_looked_for_where_the_run_puts_them(base_folder: Path, tmp_path: Path) -> None:
    from ropo_bench.reporting.progress import Progress
    from ropo_bench.stages import Stages

    tiny_suite.write(tmp_path / "suite", base_folder)
    suite = resolve(Asked("dpo", "tiny", include=[tmp_path / "suite"])).suite
    store = Store(tmp_path / "runs")
    assert pairs_stage(store, suite.data).key == Stages(store, suite, Progress()).pairs.key


@pytest.mark.parametrize(
    ("pairs", "batch", "epochs", "cap"), [(61135, 128, 1.0, None), (7, 2, 1.5, None), (9, 2, 3, 5)]
)
def test_steps_are_those_of_training(pairs: int, batch: int, epochs: float, cap: int | None) -> None:
    from ropo_bench.training.batches import num_steps

    train = TrainRecipe(lr=1.0, batch_size=batch, micro_batch_size=1, epochs=epochs, max_steps=cap)
    assert planning.num_steps(pairs, train) == num_steps(pairs, batch, epochs, cap)


def test_the_losses_without_a_reference_are_known() -> None:
    from ropo_bench.losses import LOSSES

    assert set(planning.REFERENCE_FREE) == {name for name, loss in LOSSES.items() if not loss.uses_reference}


def test_prices_are_the_recipes(tmp_path: Path) -> None:
    judge = load_judge("gpt-4.1")
    assert judge.prices is not None
    calls = planning.judge_calls(load_task("alpaca-eval-2"), judge, 805, 2)
    assert calls is not None
    assert calls.calls == 1610
    assert calls.output_tokens == 1610  # one token a verdict
    prices = judge.prices.input_per_million_usd, judge.prices.output_per_million_usd
    expected = (calls.input_tokens * prices[0] + calls.output_tokens * prices[1]) / 1e6
    assert calls.cost_usd == pytest.approx(expected)
    for changes, cost in (({"prices": None}, None), ({"prices": None, "kind": "vllm-serve"}, 0.0)):
        found = planning.judge_calls(load_task("mt-bench"), judge.model_copy(update=changes), 160, 1)
        assert found is not None
        assert found.cost_usd == cost


def test_a_judge_that_is_not_asked_in_words_makes_no_calls() -> None:
    calls = planning.judge_calls(load_task("mt-bench-pairwise"), load_judge("reward"), 160, 3)
    assert calls == planning.Calls(0, 0, 0, 0.0)


@pytest.mark.parametrize("length", ["input", "output"])
def test_assumed_lengths_are_those_of_published_judgments(assets: Path, length: str) -> None:
    from ropo_bench.assets import read_jsonl

    rows = [
        row
        for name in ("alvarobartt", "don-tpanic")
        for row in read_jsonl(f"mt_bench/model_judgment/{name}.gpt-4_single.jsonl")
    ]
    field, known = ("user_prompt", "input_characters") if length == "input" else ("judgment", "output_characters")
    mean = sum(len(row[field]) for row in rows) / len(rows)
    assert getattr(planning.PROTOCOLS["mt-bench"], known) == pytest.approx(mean, rel=0.01)


def kept_bytes(shape: ShapeRecipe, train: TrainRecipe) -> int:
    """What autograd really saves for the backward pass of one micro-batch, parameters left out."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from ropo_bench.training.logprobs import token_logps

    model = LlamaForCausalLM(LlamaConfig(**shape.model_dump(exclude_none=True))).train()
    if train.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(0, shape.vocab_size, (2 * train.micro_batch_size, train.max_length))
    unpack: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor  # noqa: E731
    autocast = torch.autocast("cpu", torch.bfloat16, train.dtype == "bfloat16")
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack), autocast:
        logps, _ = token_logps(
            model, ids, torch.ones_like(ids), torch.zeros_like(ids).bool().index_fill(1, torch.tensor(1), True)
        )
    assert logps.requires_grad
    return sum(saved.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_estimate_of_activations_is_within_a_third_of_what_autograd_keeps(dtype: str) -> None:
    shape = ShapeRecipe(
        hidden_size=128, intermediate_size=448, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=64,
    )  # fmt: skip
    train = TrainRecipe.model_validate(
        {
            "lr": 1.0,
            "batch_size": 2,
            "micro_batch_size": 2,
            "max_length": 256,
            "max_prompt_length": 128,
            "dtype": dtype,
        }
    )
    weights_copied = 2 * 4 * (3 * 128 * 448 + 2 * 128 * 128 + 2 * 128 * 64) if dtype == "bfloat16" else 0
    measured = kept_bytes(shape, train) - weights_copied
    assert planning.activation_bytes(shape, train) == pytest.approx(measured, rel=1 / 3)
    checkpointed = train.model_copy(update={"gradient_checkpointing": True})
    assert kept_bytes(shape, checkpointed) < planning.activation_bytes(shape, checkpointed)
    assert planning.activation_bytes(shape, checkpointed) < planning.activation_bytes(shape, train) / 2
