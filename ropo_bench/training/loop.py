"""The training loop: one for every objective, every loss and every adapter."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ropo_bench.errors import TrainingDiverged, UsageError
from ropo_bench.methods import TrainRecipe
from ropo_bench.runs import JsonLines, atomic_write_text
from ropo_bench.training import checkpoint


@dataclass(frozen=True, slots=True)
class StepPart:
    """One micro-batch's share of an optimizer step: its parts sum to the step's loss and metrics."""

    loss: Tensor
    metrics: dict[str, Tensor]
    num_tokens: int


class Objective(Protocol):
    """What is minimised: micro-batch losses, step by step."""

    num_steps: int

    def parts(self, model: nn.Module, step: int) -> Iterator[StepPart]:
        """Yield the micro-batches of one optimizer step, each with its graph."""
        ...

    def ids(self, step: int) -> list[str]:
        """Names of the records in one optimizer step."""
        ...


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a finished training cost."""

    num_steps: int
    seconds: float
    num_tokens: int
    peak_memory_bytes: int | None


def learning_rate(recipe: TrainRecipe, num_steps: int, step: int) -> float:
    """Learning rate of optimizer step `step` (from 0): linear warm-up, then the recipe's schedule down to 0."""
    warmup = math.ceil(recipe.warmup_ratio * num_steps)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, num_steps - warmup)
    if recipe.schedule == "cosine":
        return recipe.lr * 0.5 * (1.0 + math.cos(math.pi * progress))
    return recipe.lr * (1.0 - progress) if recipe.schedule == "linear" else recipe.lr


def fit(
    model: nn.Module,
    objective: Objective,
    recipe: TrainRecipe,
    seed: int,
    folder: Path,
    on_step: Callable[[int, int], None],
) -> FitResult:
    """Minimise the objective over the model's trainable parameters, going on from a checkpoint in `folder`.

    Writes folder/train.jsonl, one record a step. on_step(step, tokens) is called after each step.
    Raises TrainingDiverged with the step and its record ids when the loss or gradient is not finite.
    """
    accelerator = Accelerator()
    if accelerator.num_processes > 1:
        raise UsageError(
            f"training: started as {accelerator.num_processes} processes, only one is supported: "
            "run ropo-bench without accelerate launch or torchrun"
        )
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # type: ignore[operator]
    model.train()
    model, optimizer = accelerator.prepare(model, make_optimizer(model, recipe))
    start = checkpoint.load(folder, model, optimizer)
    log = _open_log(folder / "train.jsonl", start)
    reset_peak_memory()
    for step in range(start, objective.num_steps):
        record = _step(accelerator, model, optimizer, objective, recipe, seed, step)
        log.append(record)
        on_step(step + 1, int(record["num_tokens"]))
        if (step + 1) % recipe.checkpoint_every_steps == 0 and step + 1 < objective.num_steps:
            checkpoint.save(folder, model, optimizer, step + 1)
    records = list(log)
    return FitResult(
        objective.num_steps,
        sum(r["seconds"] for r in records),
        sum(r["num_tokens"] for r in records),
        peak_memory_bytes(),
    )


def make_optimizer(model: nn.Module, recipe: TrainRecipe) -> torch.optim.Optimizer:
    """AdamW over the trainable parameters; vectors (biases, norms, angles, magnitudes) are never decayed."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.lr, fused=True)


def _step(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    recipe: TrainRecipe,
    seed: int,
    step: int,
) -> dict[str, Any]:
    began = time.perf_counter()
    torch.manual_seed((seed << 32) + step)  # dropout is a function of (seed, step): resuming is exact
    rate = learning_rate(recipe, objective.num_steps, step)
    for group in optimizer.param_groups:
        group["lr"] = rate
    totals: dict[str, Tensor] = {}
    num_tokens = 0
    autocast = torch.autocast(accelerator.device.type, torch.bfloat16, recipe.dtype == "bfloat16")
    with autocast:
        for part in objective.parts(model, step):
            accelerator.backward(part.loss)
            num_tokens += part.num_tokens
            for name, value in {"loss": part.loss, **part.metrics}.items():
                totals[name] = totals.get(name, torch.zeros_like(value)) + value.detach()
    totals["grad_norm"] = torch.nn.utils.clip_grad_norm_(
        [p for p in model.parameters() if p.requires_grad], recipe.max_grad_norm or math.inf
    )
    values = dict(zip(totals, torch.stack([v.float() for v in totals.values()]).tolist(), strict=True))
    if not (math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])):
        ids = objective.ids(step)
        shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        raise TrainingDiverged(
            f"training: loss {values['loss']} and gradient norm {values['grad_norm']} at step {step + 1} "
            f"(records {shown}); lower train.lr (now {recipe.lr:g}) or look at those records"
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    seconds = time.perf_counter() - began
    return {"step": step + 1, "learning_rate": rate, "num_tokens": num_tokens, "seconds": seconds, **values}


def _open_log(path: Path, start: int) -> JsonLines:
    """The log up to the checkpoint: steps after it are trained again and logged again."""
    if path.exists():
        kept = [record for record in JsonLines(path) if record["step"] <= start]
        atomic_write_text(path, "".join(json.dumps(record) + "\n" for record in kept))
    return JsonLines(path)


def reset_peak_memory() -> None:
    """Start a new measurement of peak memory where the platform can."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        with contextlib.suppress(OSError):  # some containers forbid it; the peak is then the process's
            Path("/proc/self/clear_refs").write_text("5")  # Linux: resets VmHWM of this process


def peak_memory_bytes() -> int | None:
    """Peak memory since reset_peak_memory(): of the GPU, or the resident set on a Linux CPU; None elsewhere."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
