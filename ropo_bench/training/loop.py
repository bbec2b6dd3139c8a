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
from torch import Tensor, nn

from ropo_bench.errors import TrainingDiverged
from ropo_bench.recipes.method import TrainRecipe
from ropo_bench.store import JsonLines, atomic_write_text
from ropo_bench.training import checkpoint
from ropo_bench.training.core import switches as core
from ropo_bench.training.core.precision import settle_frozen
from ropo_bench.training.team import devices, sharding


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
    until: int | None = None,
) -> FitResult:
    """Minimise the objective over the model's trainable parameters, going on from a checkpoint in `folder`.

    until: stop after so many steps of the schedule, with a checkpoint from which the next call goes on exactly.
    Every process of a team calls it with the same arguments; afterwards the model may be in shards. Rank 0 writes
    folder/train.jsonl, one record a step, and calls on_step(step, tokens) after each step. Raises TrainingDiverged
    on all of them, with the step and its record ids, when the loss or gradient is not finite.
    """
    team = devices.team()
    if recipe.gradient_checkpointing:
        _checkpoint_layers(model)
    if recipe.dtype == "bfloat16":
        settle_frozen(model, torch.bfloat16)
    passes = sharding.distribute(model, team)
    trained = [p for p in model.parameters() if p.requires_grad]
    devices.share_from_writer(sharding.local(p.detach()) for p in trained if sharding.local(p) is p)
    optimizer = make_optimizer(model, recipe)
    start = checkpoint.load(folder, model, optimizer)
    stepper = _Stepper(team, passes, trained, optimizer, objective, recipe, seed)
    log, seconds, num_tokens = _open_log(folder / "train.jsonl", start, team)
    reset_peak_memory()
    stop = objective.num_steps if until is None else min(until, objective.num_steps)
    with log, core.switched(model, recipe.core):
        for step in range(start, stop):
            record = stepper.step(step)
            seconds, num_tokens = seconds + record["seconds"], num_tokens + record["num_tokens"]
            if team.writes:
                log.append(record)
                on_step(step + 1, record["num_tokens"])
            due = (step + 1) % recipe.checkpoint_every_steps == 0 or step + 1 == stop
            if due and step + 1 < objective.num_steps:
                checkpoint.save(folder, model, optimizer, step + 1)
    peak = peak_memory_bytes()
    return FitResult(max(start, stop), seconds, num_tokens, None if peak is None else devices.max_over_team(peak))


def _checkpoint_layers(model: Any) -> None:
    """Let the layers keep no activations; transformers does it in training mode only, which would bring dropout."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in model.modules():
        if getattr(module, "gradient_checkpointing", False) and hasattr(module, "_gradient_checkpointing_func"):
            module.training = True  # of this module alone, and only until its forward pass begins
            module._gradient_checkpointing_func = _evaluating(module, module._gradient_checkpointing_func)
            if hasattr(module, "layerdrop"):  # OPT's decoder leaves out whole layers, before their forward passes
                module.layerdrop = 0.0


def _evaluating(module: nn.Module, checkpointed: Callable[..., Any]) -> Callable[..., Any]:
    """A checkpointing function that runs what it is given with the module in evaluation mode, both times."""

    def run(function: Callable[..., Any], *inputs: Any) -> Any:
        def evaluated(*values: Any) -> Any:
            module.training = False
            try:
                return function(*values)
            finally:
                module.training = True

        return checkpointed(evaluated, *inputs)

    return run


def make_optimizer(model: nn.Module, recipe: TrainRecipe) -> torch.optim.Optimizer:
    """AdamW over the trainable parameters; vectors (biases, norms, angles, magnitudes) are never decayed."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.lr, fused=True)


@dataclass(frozen=True, slots=True)
class _Stepper:
    """What one optimizer step needs."""

    team: devices.Team
    passes: sharding.Passes
    trained: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    objective: Objective
    recipe: TrainRecipe
    seed: int

    def step(self, step: int) -> dict[str, Any]:
        """Make one step and return its record; waits for the device once, to read what is recorded."""
        began = time.perf_counter()
        # Dropout is a function of (seed, step, rank): resuming is exact.
        torch.manual_seed((self.seed << 32) + (self.team.rank << 22) + step)
        rate = learning_rate(self.recipe, self.objective.num_steps, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        totals, num_tokens = self._gradients(step)
        plain = [p for p in self.trained if sharding.local(p) is p]
        devices.sum_gradients(plain)  # those of shards are summed in the backward pass
        sums = devices.sum_over_team(torch.stack([*totals.values(), totals["loss"].new_tensor(float(num_tokens))]))
        norm = sharding.clip(self.trained, self.recipe.max_grad_norm)
        *values, num_tokens, grad_norm = torch.cat([sums, norm.to(sums).reshape(1)]).tolist()
        record = dict(zip(totals, values, strict=True)) | {"grad_norm": grad_norm}
        if not (math.isfinite(record["loss"]) and math.isfinite(grad_norm)):
            raise self._divergence(step, record)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - began
        return {"step": step + 1, "learning_rate": rate, "num_tokens": int(num_tokens), "seconds": seconds, **record}

    def _gradients(self, step: int) -> tuple[dict[str, Tensor], int]:
        """Backward of this process's micro-batches; the sums of their losses and metrics, and their tokens."""
        totals: dict[str, Tensor] = {}
        num_tokens = 0
        parts = self.objective.parts(self.passes.model, step)
        autocast = torch.autocast(
            self.team.device.type,
            torch.bfloat16,
            self.recipe.dtype == "bfloat16",
            cache_enabled=not self.team.shard,  # it would keep a copy of every weight that is gathered
        )
        with autocast:
            while True:
                loss, part = self.passes(parts)
                if part is None:
                    break
                loss.backward()
                num_tokens += part.num_tokens
                for name, value in {"loss": loss, **part.metrics}.items():
                    totals[name] = totals[name] + value.detach() if name in totals else value.detach().float()
        sharding.end_of_passes(self.passes)
        return totals, num_tokens

    def _divergence(self, step: int, record: dict[str, float]) -> TrainingDiverged:
        ids = self.objective.ids(step)
        names = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        return TrainingDiverged(
            f"training: loss {record['loss']} and gradient norm {record['grad_norm']} at step {step + 1} "
            f"(records {names}); lower train.lr (now {self.recipe.lr:g}) or look at those records"
        )


def _open_log(path: Path, start: int, team: devices.Team) -> tuple[JsonLines, float, int]:
    """The log up to the checkpoint, its seconds and tokens: steps after it are trained and logged again."""
    records = [record for record in JsonLines(path) if record["step"] <= start]

    def write() -> None:
        if path.exists():
            atomic_write_text(path, "".join(json.dumps(record) + "\n" for record in records))

    devices.written_once(write)
    return JsonLines(path), sum(r["seconds"] for r in records), sum(r["num_tokens"] for r in records)


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
