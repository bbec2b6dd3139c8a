"""The training loop: resumed to the same numbers, logged under TRL's names, stopped by NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ropo_bench.errors import StorageError, TrainingDiverged
from ropo_bench.recipes.method import LossRecipe, TrainRecipe
from ropo_bench.training import checkpoint
from ropo_bench.training.loop import StepPart, fit, learning_rate, make_optimizer
from ropo_bench.training.preference import PreferenceObjective
from ropo_bench.training.reference import compute_reference, read_reference
from ropo_bench.types import TokenizedPair
from tests.conftest import new_llama

TRAIN = TrainRecipe(lr=1e-2, batch_size=4, micro_batch_size=2, epochs=2.0, checkpoint_every_steps=2)


def pairs(count: int = 10) -> list[TokenizedPair]:
    generator = torch.Generator().manual_seed(0)

    def tokens(low: int, high: int) -> tuple[int, ...]:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return tuple(torch.randint(10, 200, (length,), generator=generator).tolist())

    return [TokenizedPair(str(i), (1, *tokens(2, 9)), tokens(1, 8), tokens(1, 8)) for i in range(count)]


def objective(model: Any, folder: Path, train: TrainRecipe = TRAIN, **loss: Any) -> PreferenceObjective:
    folder.mkdir(parents=True, exist_ok=True)
    compute_reference(model, pairs(), 0, train, folder / "logps.jsonl", lambda done, tokens: None)
    reference = read_reference(folder / "logps.jsonl")
    return PreferenceObjective(pairs(), reference, LossRecipe(**loss), train, 3, 0)


def trained(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


class Killed(Exception):
    pass


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path: Path) -> None:
    whole, cut = new_llama(), new_llama()
    whole.config.attention_dropout = cut.config.attention_dropout = 0.1
    fit(whole, objective(new_llama(), tmp_path / "r"), TRAIN, 3, tmp_path, lambda step, tokens: None)

    def kill_at_4(step: int, tokens: int) -> None:
        if step == 4 and not (tmp_path / "b" / "again").exists():
            (tmp_path / "b" / "again").touch()
            raise Killed

    (tmp_path / "b").mkdir()
    with pytest.raises(Killed):
        fit(cut, objective(new_llama(), tmp_path / "r"), TRAIN, 3, tmp_path / "b", kill_at_4)
    fresh = new_llama()
    fresh.config.attention_dropout = 0.1
    fit(fresh, objective(new_llama(), tmp_path / "r"), TRAIN, 3, tmp_path / "b", lambda step, tokens: None)
    for name, value in trained(whole).items():
        assert torch.equal(value, trained(fresh)[name]), name

    def log(folder: Path) -> list[tuple[int, float]]:
        records = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
        return [(r["step"], r["loss"]) for r in records]

    assert log(tmp_path) == log(tmp_path / "b")
    assert [step for step, _ in log(tmp_path)] == [1, 2, 3, 4, 5]


def test_the_log_has_trls_names(tmp_path: Path) -> None:
    fit(new_llama(), objective(new_llama(), tmp_path), TRAIN, 0, tmp_path, lambda step, tokens: None)
    record = json.loads((tmp_path / "train.jsonl").read_text().splitlines()[0])
    assert record["loss"] == pytest.approx(math.log(2), abs=1e-5)
    names = {"rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen"}
    assert names | {"logps/rejected", "grad_norm", "learning_rate", "step"} <= record.keys()


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_corrupt_checkpoint_is_named(tmp_path: Path, damage: str) -> None:
    model = new_llama()
    optimizer = make_optimizer(model, TRAIN)
    checkpoint.save(tmp_path, model, optimizer, 2)
    path = tmp_path / checkpoint.NAME
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    else:
        data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"checkpoint\.safetensors.*delete that file"):
        checkpoint.load(tmp_path, model, optimizer)


class Explodes:
    """Two sound steps, then a loss that is not a number."""

    num_steps = 5

    def parts(self, model: nn.Module, step: int) -> Iterator[StepPart]:
        loss = sum((p.square().sum() for p in model.parameters()), torch.zeros(()))
        yield StepPart(loss * (math.nan if step == 2 else 1.0), {}, 1)

    def ids(self, step: int) -> list[str]:
        return [f"pair-{step}"]


def test_nan_stops_with_step_and_ids_and_leaves_the_weights(tmp_path: Path) -> None:
    model = nn.Linear(3, 3)
    with pytest.raises(TrainingDiverged, match=r"step 3 \(records pair-2\)"):
        fit(model, Explodes(), TRAIN, 0, tmp_path, lambda step, tokens: None)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_learning_rate_warms_up_then_falls_to_zero() -> None:
    recipe = TrainRecipe(lr=1.0, warmup_ratio=0.2)
    rates = [learning_rate(recipe, 10, step) for step in range(10)]
    assert rates[:2] == [0.5, 1.0]
    assert rates[2] == 1.0
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert learning_rate(recipe, 10, 10) == pytest.approx(0.0)
