"""After its first steps a long training is merged and certified, so that what cannot pass is known after minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ropo_bench.errors import CertificateFailed
from ropo_bench.recipes.load import load_suite
from ropo_bench.recipes.method import AdapterRecipe, LossRecipe, MethodRecipe, TrainRecipe
from ropo_bench.stages import first_look, policy
from ropo_bench.stages.bench import Bench
from ropo_bench.store import JsonLines, Store
from ropo_bench.terminal.progress import Progress
from tests import tiny_suite
from tests.merging.moved_policies import load_base


@pytest.fixture
def folder(base_folder: Path, tmp_path: Path) -> Path:
    tiny_suite.write(tmp_path / "suite", base_folder)
    return tmp_path


def bench_of(folder: Path, runs: str, **merge: Any) -> Bench:
    suite = load_suite("tiny", include=[str(folder / "suite")])
    limits = suite.merge.model_copy(update=merge)
    return Bench(Store(folder / runs), suite.model_copy(update={"merge": limits}), Progress())


def method(lr: float, steps: int = 12) -> MethodRecipe:
    train = TrainRecipe(
        lr=lr, batch_size=4, micro_batch_size=2, epochs=steps, max_steps=steps, max_length=64, max_prompt_length=40
    )
    return MethodRecipe(name="m", description="d", adapter=AdapterRecipe(name="ropo"), loss=LossRecipe(), train=train)


def test_a_look_changes_nothing_of_the_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = policy.make(bench_of(folder, "plain"), method(1e-2), 0)
    monkeypatch.setattr(first_look, "STEPS", 5)
    looked = policy.make(bench_of(folder, "looked"), method(1e-2), 0)
    assert (looked.path / first_look.PASSED).is_file()
    assert not (plain.path / first_look.PASSED).exists()
    weights = "policy/adapter_model.safetensors"
    assert (looked.path / weights).read_bytes() == (plain.path / weights).read_bytes()
    logs = [[record["loss"] for record in JsonLines(stage.path / "train.jsonl")] for stage in (looked, plain)]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 12
    assert {path.name for path in looked.path.iterdir()} - {path.name for path in plain.path.iterdir()} == {
        first_look.PASSED
    }


def test_a_dtype_that_cannot_pass_is_found_early_and_the_training_goes_on_in_another(
    folder: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    load_base(base_folder, torch.bfloat16).save_pretrained(folder / "base")
    for file in base_folder.glob("*token*"):
        (folder / "base" / file.name).write_bytes(file.read_bytes())
    (folder / "base/chat_template.jinja").write_bytes((base_folder / "chat_template.jinja").read_bytes())
    monkeypatch.setattr(first_look, "STEPS", 5)

    def bench(**merge: Any) -> Bench:
        made = bench_of(folder, "runs", **merge)
        made.suite = made.suite.model_copy(update={"base": str(folder / "base")})
        return made

    hopeless = method(1e-7)
    with pytest.raises(
        CertificateFailed, match=r"first look at m after 5 of 12 steps: kept_change .*merge\.dtype"
    ) as e:
        policy.make(bench(dtype="bfloat16"), hopeless, 0)
    assert "\n" not in str(e.value)
    stage = policy.make(bench(dtype="float32"), hopeless, 0)
    steps = [record["step"] for record in JsonLines(stage.path / "train.jsonl")]
    assert steps == list(range(1, 13))


def test_a_small_update_of_a_long_schedule_is_not_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_look, "STEPS", 2)
    made = policy.make(bench_of(folder, "runs", dtype="bfloat16"), method(3e-5, steps=60), 0)
    assert made.done
