"""A child process: our training core, as the product runs it, on a workload.

python -m benchmarks._core SPEC RESULT
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from benchmarks._alternate import Outcome, child
from benchmarks._measure import Meter
from benchmarks._models import build_model, method_of
from benchmarks._workload import BATCH_SIZE, MAX_LENGTH, num_tokens, order, read_tokenized
from ropo_bench.adapters import attach
from ropo_bench.adapters.ropo import kernels
from ropo_bench.models.load import load_tokenizer
from ropo_bench.recipes.method import CoreRecipe, TrainRecipe
from ropo_bench.training.core.switches import switched
from ropo_bench.training.loop import StepPart, fit
from ropo_bench.training.preference import PreferenceObjective
from ropo_bench.training.reference import Reference, compute_reference, read_reference
from ropo_bench.types import TokenizedPair

MODULE = "benchmarks._core"


def run(spec: dict[str, Any]) -> Outcome:
    """Train one method; see `spec` for what is read.

    spec: workload, method, seed, steps, micro_batch_size, dtype, weights, device, threads; core: switches of
    CoreRecipe; reference: a file that is read, or written where there is none, or "live": a reference pass in every
    step; gradients: a file for those of step 1. With 0 steps only the reference is computed.
    """
    torch.set_num_threads(spec["threads"])
    workload = Path(spec["workload"])
    pairs, tokenizer = read_tokenized(workload), load_tokenizer(workload)
    method = method_of(spec["method"])
    train = _train(spec, method.train.lr)
    model = build_model(workload, spec["device"], spec["weights"])
    meter = Meter()
    with tempfile.TemporaryDirectory(dir=workload) as folder:
        reference, seconds = _reference(model, pairs, tokenizer.pad_token_id, train, spec, Path(folder))
        meter.keep_peak()
        records: list[dict[str, Any]] = []
        if spec["steps"]:
            kind = LiveReference if spec.get("reference") == "live" else PreferenceObjective
            objective = kind(pairs, reference, method.loss, train, spec["seed"], tokenizer.pad_token_id)
            torch.manual_seed(spec["seed"])  # LoRA's first matrix is random
            policy = attach(model, method.adapter)
            if "gradients" in spec:
                _keep_first_gradients(Path(spec["gradients"]))
            fit(policy, objective, train, spec["seed"], Path(folder), lambda step, tokens: meter.tick())
            records = [json.loads(line) for line in (Path(folder) / "train.jsonl").read_text().splitlines()]
    steps = order(len(pairs), spec["seed"], spec["steps"])
    return {
        **meter.report(),
        "reference_seconds": seconds,
        "reference_pairs": len(pairs),
        "step_tokens": [sum(num_tokens(pairs[i]) for i in step) for step in steps[1:]],
        "rotation": kernels.path(torch.device(spec["device"])),
        "losses": [record["loss"] for record in records],
        "logps_chosen": [record["logps/chosen"] for record in records],
    }


def _train(spec: dict[str, Any], lr: float) -> TrainRecipe:
    return TrainRecipe(
        lr=lr,
        epochs=1.0,
        max_steps=max(1, spec["steps"]),
        batch_size=BATCH_SIZE,
        micro_batch_size=spec["micro_batch_size"],
        warmup_ratio=0.0,
        schedule="constant",
        # Gradients of step 1 are compared unclipped.
        max_grad_norm=1e9 if "gradients" in spec else 1.0,
        dtype=spec["dtype"],
        gradient_checkpointing=spec.get("gradient_checkpointing", False),
        checkpoint_every_steps=1_000_000,
        max_length=MAX_LENGTH + 1,
        max_prompt_length=MAX_LENGTH,
        core=CoreRecipe(**spec.get("core", {})),
    )


def _reference(
    model: nn.Module, pairs: list[TokenizedPair], pad_id: int, train: TrainRecipe, spec: dict[str, Any], folder: Path
) -> tuple[Reference, float]:
    """The reference log-probabilities, and the seconds that they took."""
    began = time.perf_counter()
    if spec.get("reference") == "live":
        return {}, 0.0
    path = Path(spec.get("reference", folder / "reference.jsonl"))
    if not path.exists():
        compute_reference(model, pairs, pad_id, train, path, _silent)
    return read_reference(path), time.perf_counter() - began


def _silent(done: int, tokens: int) -> None:
    """No progress is shown."""


class LiveReference(PreferenceObjective):
    """The reference in every step, by the adapter switched off: what the cache saves."""

    def parts(self, model: nn.Module, step: int) -> Iterator[StepPart]:
        """The step's parts, after a reference pass over its pairs."""
        ids = set(self.ids(step))
        policy: Any = model
        with tempfile.TemporaryDirectory() as folder, policy.disable_adapter():
            path = Path(folder) / "reference.jsonl"
            chosen = [pair for pair in self.pairs if pair.id in ids]
            compute_reference(model, chosen, self.pad_id, self.train, path, _silent)
            self.reference = read_reference(path)
        model.train()
        with switched(model, self.train.core):  # the reference pass has switched the core off behind it
            yield from super().parts(model, step)


def _keep_first_gradients(path: Path) -> None:
    """Write all gradients, as one fp32 vector, just before the first optimizer step."""
    calls = itertools.count()

    def keep(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if next(calls) == 0:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.save(torch.cat([p.grad.float().flatten().cpu() for p in parameters]), path)

    register_optimizer_step_pre_hook(keep)


if __name__ == "__main__":
    child(run)
