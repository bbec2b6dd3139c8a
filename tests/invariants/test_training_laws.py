"""Laws of the training core that every method obeys; a new methods/*.yaml is tested the day it lands."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from ropo_bench.adapters import attach
from ropo_bench.losses import PairLogps, StepStatistics, resolve_loss
from ropo_bench.recipes.load import list_recipes, load_method
from ropo_bench.recipes.method import MethodRecipe, TrainRecipe
from ropo_bench.training.preference import PreferenceObjective
from ropo_bench.training.reference import Reference, compute_reference, read_reference
from ropo_bench.types import TokenizedPair
from tests.conftest import new_llama

METHODS = sorted(list_recipes("methods"))


def random_pairs(count: int = 8) -> list[TokenizedPair]:
    generator = torch.Generator().manual_seed(1)

    def tokens(low: int, high: int) -> tuple[int, ...]:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return tuple(torch.randint(10, 200, (length,), generator=generator).tolist())

    return [TokenizedPair(str(i), (1, *tokens(2, 9)), tokens(1, 8), tokens(1, 8)) for i in range(count)]


def recipe(name: str, micro_batch_size: int) -> MethodRecipe:
    return load_method(
        name,
        sets=[
            "train.batch_size=8",
            f"train.micro_batch_size={micro_batch_size}",
            *(["adapter.options={r: 4, lora_alpha: 4, lora_dropout: 0.0}"] if name == "lora-dpo" else []),
            *(["adapter.options.lora_dropout=0.0"] if name in ("dora", "rslora") else []),
            *(["adapter.options={oft_block_size: 8, use_cayley_neumann: false}"] if name == "oft" else []),
        ],
    )


def train(micro_batch_size: int, dtype: Literal["float32", "bfloat16"] = "float32") -> TrainRecipe:
    return TrainRecipe(lr=1.0, batch_size=12, micro_batch_size=micro_batch_size, dtype=dtype)


def policy(method: MethodRecipe) -> Any:
    torch.manual_seed(0)
    return attach(new_llama(), method.adapter)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    path = tmp_path_factory.mktemp("reference") / "logps.jsonl"
    compute_reference(new_llama(), random_pairs(), 0, train(3), path, lambda done, tokens: None)
    return read_reference(path)


def first_step(
    method: MethodRecipe, model: Any, reference: Reference
) -> tuple[float, dict[str, torch.Tensor], dict[str, float]]:
    """Loss, gradients and metrics of the first optimizer step."""
    objective = PreferenceObjective(random_pairs(), reference, method.loss, method.train, 0, 0)
    loss, metrics = 0.0, {}
    for part in objective.parts(model, 0):
        part.loss.backward()
        loss += part.loss.item()
        for key, value in part.metrics.items():
            metrics[key] = metrics.get(key, 0.0) + float(value)
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return loss, gradients, metrics


def base_logps(pairs: list[TokenizedPair]) -> PairLogps:
    """Log-probabilities of the base model the plain way: one sequence at a time, all logits."""
    model = new_llama()

    def total(prompt: tuple[int, ...], completion: tuple[int, ...]) -> float:
        with torch.no_grad():
            logps = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        return sum(logps[len(prompt) + i - 1, token].item() for i, token in enumerate(completion))

    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32)

    return PairLogps(
        chosen=column([total(p.prompt_ids, p.chosen_ids) for p in pairs]),
        rejected=column([total(p.prompt_ids, p.rejected_ids) for p in pairs]),
        reference_chosen=None,
        reference_rejected=None,
        chosen_num_tokens=column([len(p.chosen_ids) for p in pairs]),
        rejected_num_tokens=column([len(p.rejected_ids) for p in pairs]),
        mean_chosen_num_tokens=column([len(p.chosen_ids) for p in pairs]).mean(),
    )


def moved(model: Any) -> Any:
    """The model with its trainable parameters a little off their start, so that no term of a loss is zero."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.02 * torch.randn(p.shape, generator=generator))
    return model


@pytest.mark.parametrize("name", METHODS)
def test_eight_micro_batches_of_one_equal_one_of_eight(name: str, reference: Reference) -> None:
    whole = first_step(recipe(name, 8), moved(policy(recipe(name, 8))), reference)
    parts = first_step(recipe(name, 1), moved(policy(recipe(name, 1))), reference)
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    assert parts[1].keys() == whole[1].keys() != set()
    for key, gradient in whole[1].items():
        scale = gradient.abs().max().item()
        assert torch.allclose(parts[1][key], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-9), key
    assert parts[2] == pytest.approx(whole[2], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_switch_of_the_core_leaves_loss_and_gradients(name: str, reference: Reference) -> None:
    whole = first_step(recipe(name, 8), moved(policy(recipe(name, 8))), reference)
    for switch, on in {"packing": False, "prefix_sharing": False, "fused_head": False, "kernels": False}.items():
        method = recipe(name, 8)
        core = method.train.core.model_copy(update={switch: on})
        method = method.model_copy(update={"train": method.train.model_copy(update={"core": core})})
        loss, gradients, metrics = first_step(method, moved(policy(method)), reference)
        assert loss == pytest.approx(whole[0], rel=1e-5), switch
        assert metrics == pytest.approx(whole[2], rel=1e-4, abs=1e-5), switch
        assert gradients.keys() == whole[1].keys() != set()
        for key, gradient in gradients.items():
            error = (gradient - whole[1][key]).norm() / (whole[1][key].norm() + 1e-9)
            assert error < 1e-4, (switch, key, error)


@pytest.mark.parametrize("name", METHODS)
def test_the_first_loss_has_its_closed_form_at_logratio_zero(name: str, reference: Reference) -> None:
    method = recipe(name, 8)
    loss, _, metrics = first_step(method, policy(method), reference)
    base = base_logps(random_pairs())
    if resolve_loss(method.loss.name).uses_reference:
        zero = torch.zeros(())
        base = replace(
            base,
            reference_chosen=base.chosen,
            reference_rejected=base.rejected,
            kl=zero,
            statistics=StepStatistics(zero, zero, zero),
        )
        assert metrics["rewards/margins"] == pytest.approx(0, abs=1e-5)
    # Whatever the adapter; tests/invariants/test_loss_laws.py has the closed forms of the functions.
    expected = resolve_loss(method.loss.name).function(base, method.loss).mean().item()
    assert loss == pytest.approx(expected, rel=1e-5)
    if method.loss.name == "sigmoid":
        assert loss == pytest.approx(math.log(2), rel=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_every_method_the_same_batches(name: str, reference: Reference) -> None:
    method = load_method(name, sets=["train.batch_size=2", "train.micro_batch_size=1"])
    objective = PreferenceObjective(random_pairs(), reference, method.loss, method.train, 5, 0)
    dpo = load_method("dpo", sets=["train.batch_size=2", "train.micro_batch_size=2"])
    expected = PreferenceObjective(random_pairs(), reference, dpo.loss, dpo.train, 5, 0)
    assert [objective.ids(s) for s in range(4)] == [expected.ids(s) for s in range(4)]


def test_cached_reference_equals_the_live_one_whatever_the_batch(reference: Reference, tmp_path: Path) -> None:
    for pair in random_pairs():
        path = tmp_path / f"{pair.id}.jsonl"
        compute_reference(new_llama(), [pair], 0, train(1), path, lambda done, tokens: None)
        assert read_reference(path)[pair.id] == pytest.approx(reference[pair.id], abs=1e-4)


def test_an_interrupted_reference_pass_computes_only_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "logps.jsonl"
    compute_reference(new_llama(), random_pairs(), 0, train(3), path, lambda done, tokens: None)
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:3]) + '{"id": "5", "cho')
    batches: list[int] = []
    compute_reference(new_llama(), random_pairs(), 0, train(3), path, lambda done, tokens: batches.append(done))
    assert path.read_text() == whole
    assert len(batches) == 2


@pytest.mark.parametrize("name", ["dpo", "lora-dpo", "oft", "ropo"])
def test_bfloat16_starts_at_ln_2_for_every_adapter(name: str, tmp_path: Path) -> None:
    compute_reference(new_llama(), random_pairs(), 0, train(3, "bfloat16"), tmp_path / "r", lambda done, tokens: None)
    method = load_method(name, sets=["train.dtype=bfloat16", "loss.beta=0.1"])
    method = method.model_copy(update={"adapter": recipe(name, 8).adapter})
    with torch.autocast("cpu", torch.bfloat16):
        loss, _, _ = first_step(method, policy(method), read_reference(tmp_path / "r"))
    assert loss == pytest.approx(math.log(2), abs=5e-3)
