"""`ropo-bench plan`: what a run would do and need, without torch, data or a network."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ropo_bench import planning
from ropo_bench.commands.plan.command import plan_command
from ropo_bench.commands.run import run_command
from ropo_bench.errors import BudgetReached, UsageError
from ropo_bench.planning.fit import refuse_what_cannot_fit
from ropo_bench.planning.plan import plan
from ropo_bench.recipes.load import load_judge, load_method, load_task
from ropo_bench.recipes.method import TrainRecipe
from ropo_bench.request import Asked, Limits, resolve
from ropo_bench.store import Store
from tests import tiny_suite

GIB = 1 << 30


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan opens no connection."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)


def planned(asked: Asked, runs: Path) -> dict[str, Any]:
    machine = planning.given_machine(80, 1)
    record: dict[str, Any] = json.loads(json.dumps(plan(resolve(asked), Store(runs), machine)))
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
    assert [calls[f"canaries of {task}"][1] for task in ("mt-bench", "mt-bench-pairwise")] == [80, 339]
    assert calls["canaries of alpaca-eval-2"][1] == 367  # MT-Bench has 80 prompts, and 94 are wanted for the swap
    assert [entry["num_steps"] for entry in record["training"]] == [478, 478]
    dpo = next(entry for entry in record["training"] if entry["method"] == "dpo")
    assert dpo["memory"]["gradients"] == 4 * 8_030_261_248
    assert dpo["memory"]["optimizer"] == 8 * 8_030_261_248
    assert dpo["memory"]["weights"] == 4 * 8_030_261_248
    assert record["disk"]["needed_bytes"] > 3 * (4 + 2) * 8_030_261_248
    assert record["seconds"] is None
    assert record["no_basis_for_time"]
    assert not (tmp_path / "runs").exists()


def test_a_plan_is_quick_and_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ropo_bench.commands.plan.command import plan_command; "
        "from ropo_bench.planning import given_machine; "
        "from ropo_bench.request import Asked, resolve; from ropo_bench.store import Store; "
        f"store = Store(Path({str(tmp_path)!r})); "
        "plan_command(resolve(Asked('ropo,dpo', 'llama3-8b')), store, False, given_machine(80, 4)); "
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
    from ropo_bench.stages import pairs
    from ropo_bench.stages.bench import Bench
    from ropo_bench.terminal.progress import Progress

    tiny_suite.write(tmp_path / "suite", base_folder)
    suite = resolve(Asked("dpo", "tiny", include=[tmp_path / "suite"])).suite
    store = Store(tmp_path / "runs")
    assert (
        pairs.find(store, suite.data, base_folder, ask=False).key == pairs.make(Bench(store, suite, Progress())).key
    )


@pytest.mark.parametrize(
    ("pairs", "batch", "epochs", "cap"), [(61135, 128, 1.0, None), (7, 2, 1.5, None), (9, 2, 3, 5)]
)
def test_steps_are_those_of_training(pairs: int, batch: int, epochs: float, cap: int | None) -> None:
    from ropo_bench.training.batches import num_steps

    train = TrainRecipe(lr=1.0, batch_size=batch, micro_batch_size=1, epochs=epochs, max_steps=cap)
    assert planning.num_steps(pairs, train) == num_steps(pairs, batch, epochs, cap)


def test_a_users_own_loss_is_asked_whether_it_reads_a_reference(tmp_path: Path) -> None:
    source = "from ropo_bench.losses import LOSSES\n\nFREE, BOUND = LOSSES['simpo'], LOSSES['sigmoid']\n"
    (tmp_path / "own.py").write_text(source)
    method = load_method("dpo")
    for name, reads in (("FREE", False), ("BOUND", True)):
        loss = method.loss.model_copy(update={"name": f"{tmp_path}/own.py:{name}"})
        assert planning.reads_reference(method.model_copy(update={"loss": loss})) is reads


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
    from ropo_bench.scoring.mt_bench.single import SINGLE
    from ropo_bench.sources.assets import read_jsonl

    rows = [
        row
        for name in ("alvarobartt", "don-tpanic")
        for row in read_jsonl(f"mt_bench/model_judgment/{name}.gpt-4_single.jsonl")
    ]
    field, known = ("user_prompt", "input_characters") if length == "input" else ("judgment", "output_characters")
    mean = sum(len(row[field]) for row in rows) / len(rows)
    assert getattr(SINGLE.protocol, known) == pytest.approx(mean, rel=0.01)


def test_full_fine_tuning_of_8b_is_refused_on_one_device_with_the_ways_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = resolve(Asked("ropo,dpo", "llama3-8b"))
    with pytest.raises(UsageError) as refusal:
        plan_command(request, Store(tmp_path), False, planning.given_machine(80, 1))
    text = str(refusal.value)
    assert refusal.value.exit_code == 2
    assert "\n" not in text
    assert text.startswith("method dpo: training needs about 138.5 GiB, a device (given) has 80.0 GiB; ways on: ")
    for way in ("--processes 4 --shard (FSDP): ", "FSDP_OFFLOAD_PARAMS=true: ", "--methods ropo: ", "lora-dpo: "):
        assert way in text
    shown = capsys.readouterr().out
    assert "8,030,261,248  " in shown
    assert "too big" in shown  # the plan is there all the same
    assert max(map(len, shown.splitlines())) <= 120
    plan_command(request, Store(tmp_path), False, planning.given_machine(80, 4))
    assert "fits FSDP x4" in capsys.readouterr().out


def test_a_run_refuses_before_anything_is_loaded_what_it_still_has_to_train(tmp_path: Path) -> None:
    request, notes = resolve(Asked("ropo,dpo", "llama3-8b")), list[str]()
    store, one, four = Store(tmp_path), planning.given_machine(80, 1), planning.given_machine(80, 4)
    with pytest.raises(UsageError, match=r"^method dpo: training needs about 138"):
        refuse_what_cannot_fit(request, store, notes.append, machine=one)
    with pytest.raises(UsageError, match="on each of 4 devices"):
        refuse_what_cannot_fit(request, store, notes.append, planning.Spread(4), four)
    refuse_what_cannot_fit(request, store, notes.append, planning.Spread(4, True), four)
    refuse_what_cannot_fit(resolve(Asked("ropo", "llama3-8b")), store, notes.append, machine=one)
    assert not notes
    needed = plan(request, store, one)["training"][1]["memory_bytes"] / GIB
    refuse_what_cannot_fit(request, store, notes.append, machine=planning.given_machine(needed - 1, 1))
    assert "dpo: training may need" in notes[0]  # less than the estimate may be off


def test_what_is_trained_is_not_refused(base_folder: Path, tmp_path: Path) -> None:
    tiny_suite.write(tmp_path / "suite", base_folder)
    asked, nothing = Asked("dpo", "tiny", include=[tmp_path / "suite"]), planning.given_machine(1e-6, 1)
    store = Store(tmp_path / "runs")
    with pytest.raises(UsageError, match="method dpo"):
        refuse_what_cannot_fit(resolve(asked), store, print, machine=nothing)
    run_command(asked, tmp_path / "runs", None, True, Limits())
    refuse_what_cannot_fit(resolve(asked), Store(tmp_path / "runs"), print, machine=nothing)
    assert plan(resolve(asked), Store(tmp_path / "runs"), nothing)["refused"] is None


def test_answers_on_the_disk_are_not_planned_again(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.judging.judge_server import JudgeServer

    monkeypatch.undo()  # the judge is asked over a socket
    monkeypatch.setenv("TINY_KEY", "k")
    with JudgeServer() as server:
        tiny_suite.write_judged(tmp_path / "suite", base_folder, server.url, "TINY_KEY")
        asked = Asked("dpo", "tiny", tasks="tiny-judged", include=[tmp_path / "suite"], canaries=False)
        before = planned(asked, tmp_path / "runs")["judging"]
        with pytest.raises(BudgetReached):
            run_command(asked, tmp_path / "runs", None, True, Limits(calls=4))
        after = planned(asked, tmp_path / "runs")
        (left,) = after["judging"]
        steps = {step["row"]: step["calls_left"] for step in after["steps"] if step["stage"] == "judge"}
        assert sum(steps.values()) == left["calls"] == before[0]["calls"] - 4
        assert sorted(tmp_path.joinpath("runs").rglob("*.jsonl"))
        run_command(asked, tmp_path / "runs", None, True, Limits(calls=left["calls"]))  # not one more
