"""One vLLM engine serves model after model: each answers as a fresh load of it, and weights that stay are noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from ropo_bench.errors import CertificateFailed
from ropo_bench.generation import start
from ropo_bench.generation.swapping import differ_in_weights_only
from ropo_bench.generation.vllm import VllmEngine
from ropo_bench.merging.certificate import certify
from ropo_bench.merging.engine import swap_engine
from ropo_bench.merging.merge import merge
from ropo_bench.recipes.load import load_suite
from ropo_bench.recipes.suite import MergeRecipe, VllmRecipe
from ropo_bench.sources.models import model_folder
from ropo_bench.sources.prompts import read_prompts
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress
from ropo_bench.types import Prompt
from tests.generation.test_vllm import GREEDY, choices, run, same_scores
from tests.merging.moved_policies import trained

needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
TEXTS = ("Which river is the longest? I do not know.", "Name three fruits: apple, pear and plum.")


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    return [
        replace(prompt, turns=(*prompt.turns[:1], "Say it again.")) for prompt in read_prompts("pocket:chat")[:12]
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pocket model, which ties its head, and one that does not; each with two merged models and certificates."""
    folder = tmp_path_factory.mktemp("models")
    pocket = model_folder("pocket:sft")
    tokenizer = AutoTokenizer.from_pretrained(pocket)
    probes = [tokenizer(text * 2)["input_ids"] for text in TEXTS]
    torch.manual_seed(0)
    config = LlamaConfig(**{**json.loads((pocket / "config.json").read_text()), "tie_word_embeddings": False})
    LlamaForCausalLM(config).save_pretrained(folder / "untied")
    tokenizer.save_pretrained(folder / "untied")
    for file in ("generation_config.json", "chat_template.jinja"):
        if (pocket / file).is_file():
            (folder / "untied" / file).write_bytes((pocket / file).read_bytes())
    bases = {"tied": pocket, "untied": folder / "untied"}
    made = {f"{name} base": base for name, base in bases.items()}
    for name, base in bases.items():
        for adapter, size in (("full", 0.02), ("ropo", 0.1)):
            merged = made[f"{name} {adapter}"] = folder / f"{name} {adapter}"
            merged.mkdir()
            policy = trained(base, adapter, size)
            merge(base, policy, merged, "float32")
            certify(policy, base, merged, probes, MergeRecipe(dtype="float32"))
    return made


@pytest.mark.parametrize("head", ["tied", "untied"])
@pytest.mark.vllm
@needs_vllm
def test_every_model_answers_as_transformers_loads_it(
    head: str, models: dict[str, Path], prompts: list[Prompt]
) -> None:
    engine: Any = start(models[f"{head} base"], "vllm", "float32", VllmRecipe(max_model_len=512))
    try:
        [worker] = engine._workers
        lives = {engine.life}
        for name in (f"{head} full", f"{head} ropo", f"{head} full"):
            assert swap_engine(engine, models[name])
            hf = start(models[name], "hf", "float32", VllmRecipe())
            assert run(engine, prompts, GREEDY) == run(hf, prompts, GREEDY)
            requests = choices(hf, prompts[:4])
            same_scores(engine.loglikelihoods(requests), hf.loglikelihoods(requests))
            lives.add(engine.life)
            hf.close()
        assert len(lives) == 4
        assert engine._workers == [worker]
    finally:
        engine.close()


def bench_of(tmp_path: Path) -> Bench:
    suite = load_suite("pocket").model_copy(update={"backend": "vllm", "vllm": VllmRecipe(max_model_len=512)})
    return Bench(Store(tmp_path / "runs"), suite, Progress())


@pytest.mark.vllm
@needs_vllm
def test_weights_that_stay_or_are_another_models_are_noticed_and_mended(
    models: dict[str, Path],
    tmp_path: Path,
    prompts: list[Prompt],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    swap = VllmEngine.swap
    with bench_of(tmp_path) as bench:
        first: Any = bench.engine(Model("base", models["tied base"]))
        # The engine says that it has them, and goes on with the weights before.
        monkeypatch.setattr(VllmEngine, "swap", lambda engine, folder: True)
        with pytest.raises(CertificateFailed, match=r"answers \d+ tokens as with the weights before"):
            swap_engine(first, models["tied full"])
        second: Any = bench.engine(Model("full", models["tied full"]))
        assert second._workers != first._workers
        assert (
            "the running engine did not take the weights, another starts: merge certificate"
            in capsys.readouterr().err
        )
        # It takes the weights of another model.
        monkeypatch.setattr(VllmEngine, "swap", lambda engine, folder: swap(engine, models["tied full"]))
        bench.engine(Model("base again", models["tied base"]))
        third: Any = bench.engine(Model("ropo", models["tied ropo"]))
        assert "engine_error" in capsys.readouterr().err
        hf = start(models["tied ropo"], "hf", "float32", VllmRecipe())
        assert run(third, prompts[:3], GREEDY) == run(hf, prompts[:3], GREEDY)
        monkeypatch.setattr(VllmEngine, "swap", swap)
        [worker] = third._workers
        assert bench.engine(Model("full", models["tied full"]))._workers == [worker]  # type: ignore[attr-defined]


def test_only_the_weights_may_differ(models: dict[str, Path], tmp_path: Path) -> None:
    assert differ_in_weights_only(models["tied base"], models["tied full"])
    assert not differ_in_weights_only(models["tied base"], models["untied base"])
    config = json.loads((models["tied full"] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"rope_theta": 5e5}))
    assert not differ_in_weights_only(models["tied full"], tmp_path)
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"bits": 4}}))
    assert not differ_in_weights_only(tmp_path / "a", tmp_path / "b")
