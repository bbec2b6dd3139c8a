"""Rope that depends on the longest sequence of a batch: exact within the model's positions, refused beyond them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from ropo_bench.errors import UsageError
from ropo_bench.models.load import steady_positions
from ropo_bench.recipes.load import load_suite
from ropo_bench.recipes.method import AdapterRecipe, CoreRecipe, LossRecipe, MethodRecipe, TrainRecipe
from ropo_bench.stages import preflight
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress
from ropo_bench.training.core.logprobs import collate, completion_logps
from ropo_bench.types import TokenizedPair
from tests import tiny_suite
from tests.conftest import new_llama

DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}


def model(positions: int) -> Any:
    llama = new_llama(max_position_embeddings=positions, rope_parameters=DYNAMIC)
    for parameter in llama.parameters():  # attention that positions matter to
        parameter.data *= 3
    return llama


def pair(name: str, length: int) -> TokenizedPair:
    draw = torch.Generator().manual_seed(length)
    prompt, chosen, rejected = torch.randint(10, 200, (3, length), generator=draw).tolist()
    return TokenizedPair(name, tuple(prompt), tuple(chosen), tuple(rejected))


def logps(positions: int, pairs: list[TokenizedPair], packing: bool) -> list[float]:
    """Log-probability of the first pair's chosen answer, in a model that has seen nothing before."""
    llama = model(positions)
    with torch.no_grad():
        batch = collate(llama, pairs, CoreRecipe(packing=packing), 0)
        return completion_logps(llama, batch, True)[:1].tolist()


@pytest.mark.parametrize("packing", [True, False])
def test_within_the_models_positions_a_batch_changes_nothing_and_beyond_them_it_does(packing: bool) -> None:
    short, long = pair("short", 12), pair("long", 30)
    alone = logps(64, [short], packing)
    assert logps(64, [short, long], packing) == pytest.approx(alone, abs=1e-4)
    alone = logps(32, [short], packing)
    assert logps(32, [short, long], packing) != pytest.approx(alone, abs=1e-3)


def test_positions_that_stay(base_folder: Path) -> None:
    long = {"rope_type": "longrope", "original_max_position_embeddings": 64, "factor": 4.0, "rope_theta": 1e4}
    factors = {"short_factor": [1.0] * 6, "long_factor": [2.0] * 6}
    sizes = {"max_position_embeddings": 256, "hidden_size": 48, "num_attention_heads": 4}
    assert steady_positions(LlamaConfig(**sizes, rope_parameters=DYNAMIC)) == 256
    assert steady_positions(LlamaConfig(**sizes, rope_parameters={**long, **factors})) == 64
    assert steady_positions(LlamaConfig(**sizes)) is None
    linear = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    assert steady_positions(LlamaConfig(**sizes, rope_parameters=linear)) is None


def test_longer_pairs_are_refused_before_anything_is_computed(tokenizer: Any, tmp_path: Path) -> None:
    model(64).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    tiny_suite.write(tmp_path / "suite", tmp_path / "base")
    bench = Bench(Store(tmp_path / "runs"), load_suite("tiny", include=[str(tmp_path / "suite")]), Progress())

    def method(max_length: int) -> MethodRecipe:
        train = TrainRecipe(lr=1.0, max_length=max_length, max_prompt_length=32)
        return MethodRecipe(
            name="m", description="d", adapter=AdapterRecipe(name="ropo"), loss=LossRecipe(), train=train
        )

    preflight.check_methods(bench, [method(64)])
    with pytest.raises(UsageError, match=r"max_length 65 is more than the 64 positions .*set train\.max_length=64"):
        preflight.check_methods(bench, [method(65)])
