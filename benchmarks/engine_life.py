"""One life of a vLLM engine for many models, or a start for each: python -m benchmarks.engine_life [--json]

Merged pocket models, each asked for the same answers to 80 prompts, once by an engine that swaps weights and once by
an engine started for each; the two take turns, whichever is first, in one run. Every swapped engine is held to the
merged model's token probes, as in a run. The bar: one life takes at most half of the time, and gives the same texts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_SHARE = 0.5
DTYPE = "float32"
Texts = list[dict[str, Any]]
"""Of each model, the answers by prompt."""


def merged_models(folder: Path, number: int) -> list[Path]:
    """Merged pocket models with certificates, each moved by other noise."""
    import torch

    from ropo_bench.merging.certificate import certify
    from ropo_bench.merging.merge import merge
    from ropo_bench.models.load import load_model, load_tokenizer
    from ropo_bench.recipes.suite import MergeRecipe
    from ropo_bench.sources.models import model_folder
    from ropo_bench.sources.prompts import read_prompts

    base = model_folder("pocket:sft")
    probes = [load_tokenizer(base)(p.turns[0] * 2)["input_ids"] for p in read_prompts("pocket:chat")[:4]]
    folders = []
    for index in range(number):
        policy = load_model(base, DTYPE)
        generator = torch.Generator().manual_seed(index)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.01)
        merged = folder / str(index)
        merged.mkdir()
        merge(base, policy, merged, DTYPE)
        certify(policy, base, merged, probes, MergeRecipe(dtype=DTYPE))
        folders.append(merged)
    return folders


def answers(engine: Any) -> dict[str, Any]:
    """The engine's texts by prompt."""
    from ropo_bench.recipes.task import Decoding
    from ropo_bench.sources.prompts import read_prompts

    groups = engine.generate(read_prompts("pocket:chat"), Decoding(max_new_tokens=48))
    return {completion.prompt_id: completion.turns for group in groups for completion in group}


def start_each(models: list[Path]) -> Texts:
    """An engine for each model."""
    from ropo_bench.generation import start
    from ropo_bench.merging.engine import check_engine
    from ropo_bench.recipes.suite import VllmRecipe

    texts = []
    for folder in models:
        engine = start(folder, "vllm", DTYPE, VllmRecipe())
        check_engine(engine, folder, DTYPE)
        texts.append(answers(engine))
        engine.close()
    return texts


def swap_each(models: list[Path]) -> Texts:
    """One engine for all."""
    from ropo_bench.generation import start
    from ropo_bench.merging.engine import check_engine, swap_engine
    from ropo_bench.recipes.suite import VllmRecipe

    engine = start(models[0], "vllm", DTYPE, VllmRecipe())
    texts = []
    for index, folder in enumerate(models):
        assert index == 0 or swap_engine(engine, folder)
        check_engine(engine, folder, DTYPE)
        texts.append(answers(engine))
    engine.close()
    return texts


def timed(
    work: Callable[[list[Path]], list[dict[str, Any]]], models: list[Path]
) -> tuple[float, list[dict[str, Any]]]:
    """Seconds and texts."""
    began = time.perf_counter()
    texts = work(models)
    return time.perf_counter() - began, texts


def main() -> None:
    """Print both times and their ratio; exit 1 above the bar or where a text differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = merged_models(Path(folder), options.models)
        swapped_s, swapped = timed(swap_each, models)
        started_s, started = timed(start_each, models)
    same = swapped == started and len({json.dumps(texts, sort_keys=True) for texts in swapped}) == len(models)
    result = {
        "models": len(models),
        "one_life_s": swapped_s,
        "a_start_each_s": started_s,
        "share": swapped_s / started_s,
        "same_texts": same,
        "passed": same and swapped_s <= MAX_SHARE * started_s,
    }
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        took = f"one life {swapped_s:.1f} s, a start for each {started_s:.1f} s"
        print(f"{len(models)} models: {took}: {result['share']:.2f} of it")
        print("texts equal" if same else "TEXTS DIFFER")
    raise SystemExit(0 if result["passed"] else 1)


if __name__ == "__main__":
    main()
