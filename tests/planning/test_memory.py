"""What memory a training needs, against sums on paper and against what autograd keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ropo_bench import planning
from ropo_bench.models.size import of_shape
from ropo_bench.planning import Spread
from ropo_bench.recipes.load import load_methods, load_suite
from ropo_bench.recipes.method import MethodRecipe, TrainRecipe
from ropo_bench.recipes.suite import ShapeRecipe
from ropo_bench.types import TokenizedPair

SHAPE = ShapeRecipe(
    hidden_size=128, intermediate_size=448, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=64,
)  # fmt: skip
LENGTH = 256


def method(name: str, **train: Any) -> MethodRecipe:
    (found,) = load_methods(name)
    changed = {
        "batch_size": 2,
        "micro_batch_size": 2,
        "max_length": LENGTH,
        "max_prompt_length": LENGTH // 2,
        **train,
    }
    return found.model_copy(update={"train": TrainRecipe.model_validate(found.train.model_dump() | changed)})


def llama_8b(name: str) -> planning.Memory:
    suite = load_suite("llama3-8b")
    assert suite.shape is not None
    memory = planning.training_memory(of_shape(suite.shape), load_methods(name, suite=suite)[0])
    assert memory is not None
    return memory


def test_full_fine_tuning_of_8b_on_paper() -> None:
    memory = llama_8b("dpo")
    assert (memory.weights + memory.gradients + memory.optimizer) / 1e9 == pytest.approx(128.5, abs=0.05)
    shared = memory.on(4, sharded=True)
    assert shared.gradients == memory.gradients / 4
    assert shared.optimizer == memory.optimizer / 4
    assert shared.weights == memory.weights / 4 + memory.gathered
    assert memory.on(4, sharded=False) == memory
    moved = memory.on(4, sharded=True, offload=True)
    assert moved.host == memory.weights + memory.gradients + memory.optimizer
    assert moved.gradients == moved.optimizer == 0


def test_an_adapter_is_not_sharded_and_a_frozen_base_is_held_in_bfloat16() -> None:
    whole, shared = llama_8b("ropo"), llama_8b("ropo").on(4, sharded=True)
    assert (shared.gradients, shared.optimizer) == (4 * 688_000, 8 * 688_000)
    assert shared.weights < whole.weights
    linears, lora = 6_979_321_856, 335_544_320  # of 8,030,261,248; trained by LoRA
    assert llama_8b("lora-dpo").weights == 4 * (8_030_261_248 + lora) - 2 * linears
    assert whole.floor > 4 * 8_030_261_248  # the base is loaded whole before


def test_what_fits() -> None:
    memory = planning.Memory(100, 0, 100, 200, 300, gathered=10, floor=0, adapted=False)
    states = [(700, "fits"), (699, "tight"), (600, "tight"), (599, "no")]
    for available, state in states:
        fit = planning.fits(memory, available)
        assert fit == planning.Fit(state, 700, available)  # type: ignore[arg-type]
    shared = planning.fits(memory, 510, num_devices=2, sharded=True)
    assert shared == planning.Fit("fits", 50 + 10 + 50 + 100 + 300, 510)
    unknown = planning.Memory(1, 1, 1, 1, None, gathered=0, floor=0, adapted=False)
    assert planning.fits(unknown, 10**12) is None


def test_tokens_of_a_forward_pass() -> None:
    core = {"packing": True, "prefix_sharing": True}
    pair = round(1.7 * LENGTH)
    for changes, tokens in (
        ({"micro_batch_size": 1}, pair),
        ({"micro_batch_size": 2}, 2 * pair),
        ({"micro_batch_size": 2, "micro_batch_tokens": 600}, 600),
        ({"micro_batch_size": 2, "micro_batch_tokens": 10}, pair),  # a pair goes in any case
        ({"micro_batch_size": 1, "core": core | {"prefix_sharing": False}}, 2 * LENGTH),
        ({"micro_batch_size": 1, "core": core | {"packing": False}}, 2 * LENGTH),
    ):
        assert planning.forward_tokens(method("dpo", **changes).train) == pytest.approx(tokens, abs=1), changes


def kept_bytes(recipe: MethodRecipe) -> int:
    """What autograd really saves of the trunk for one packed pair of the planned lengths, parameters left out."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from ropo_bench.adapters import attach
    from ropo_bench.training.core.logprobs import collate, token_logps

    torch.manual_seed(0)
    model: Any = attach(LlamaForCausalLM(LlamaConfig(**SHAPE.model_dump(exclude_none=True))), recipe.adapter).train()
    if recipe.train.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    weights = {tuple(p.shape) for p in model.parameters() if p.ndim == 2}
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        a_copy = tuple(tensor.shape) in weights or tuple(tensor.T.shape) in weights if tensor.ndim == 2 else False
        if storage.data_ptr() not in parameters and not a_copy:
            saved[storage.data_ptr()] = storage.nbytes(), tensor
        return tensor

    unpack: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor  # noqa: E731
    prompt, completion = round(planning.PROMPT_SHARE * LENGTH), round((1 - planning.PROMPT_SHARE) * LENGTH)
    pair = TokenizedPair("a", (3,) * prompt, (4,) * completion, (5,) * completion)
    batch = collate(model, [pair, pair], recipe.train.core, 0)
    autocast = torch.autocast("cpu", torch.bfloat16, recipe.train.dtype == "bfloat16")
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack), autocast:
        logps = token_logps(model, batch, True)
    assert logps.requires_grad
    return sum(size for size, _ in saved.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["dpo", "lora-dpo", "oft", "ropo"])
def test_the_estimate_of_activations_is_within_a_third_of_what_autograd_keeps(name: str, dtype: str) -> None:
    model = of_shape(SHAPE)
    recipe = method(name, dtype=dtype)
    head = planning.forward_tokens(recipe.train) * (16 * SHAPE.hidden_size + SHAPE.vocab_size * 16)
    estimate = planning.activation_bytes(model, recipe.adapter, recipe.train)
    assert estimate is not None
    assert estimate - head == pytest.approx(kept_bytes(recipe), rel=1 / 3)
    checkpointed = method(name, dtype=dtype, gradient_checkpointing=True)
    fewer = planning.activation_bytes(model, checkpointed.adapter, checkpointed.train)
    assert fewer is not None
    assert kept_bytes(checkpointed) < fewer < estimate / 1.5


def test_spreads_are_said_and_read() -> None:
    assert Spread(4, True).words == "--processes 4 --shard (FSDP)"
    launched = {"WORLD_SIZE": "2", "ACCELERATE_USE_FSDP": "true", "FSDP_OFFLOAD_PARAMS": "TRUE"}
    assert planning.launched_spread(launched) == Spread(2, True, True)
    assert planning.launched_spread({"WORLD_SIZE": "2"}) == Spread(2)
    assert planning.launched_spread({"ROPO_BENCH_PROCESSES": "2"}) == Spread(2)
    assert planning.launched_spread({}) == Spread()
