"""A child process: TRL's DPOTrainer with PEFT on a workload. python -m benchmarks._peers SPEC RESULT"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from benchmarks._alternate import Outcome, child
from benchmarks._measure import Meter
from benchmarks._models import BETA, build_model, method_of
from benchmarks._workload import BATCH_SIZE, MAX_LENGTH, num_tokens, order, read_texts, read_tokenized
from ropo_bench.adapters import adapter_config
from ropo_bench.models.load import load_tokenizer
from ropo_bench.types import TokenizedPair

MODULE = "benchmarks._peers"
# default: TRL's own settings but for gradient checkpointing, which costs it time. checkpointed: with it, as TRL
# comes. best: the reference computed once, before training.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "default": {"gradient_checkpointing": False},
    "checkpointed": {"gradient_checkpointing": True},
    "best": {"gradient_checkpointing": False, "precompute_ref_log_probs": True},
}


class Trainer(DPOTrainer):
    """DPOTrainer that remembers each micro-batch's loss, unrounded, and how long its reference pass took."""

    reference_seconds = 0.0

    def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        found = super()._precompute_ref_logps(*args, **kwargs)
        self.reference_seconds += time.perf_counter() - began
        return found

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """TRL's own, kept."""
        loss = super().compute_loss(*args, **kwargs)
        self.__dict__.setdefault("micro_losses", []).append(loss.detach())
        return loss


class Steps(TrainerCallback):
    """Tells the meter where steps end."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """The end of an optimizer step."""
        self.meter.tick()


def run(spec: dict[str, Any]) -> Outcome:
    """Train one method, as `_core.run` does.

    spec: workload, method, seed, steps, micro_batch_size, dtype, weights, device, threads; configuration: a name of
    CONFIGURATIONS; rows: a folder for the data set and TRL's cache of the reference.
    """
    torch.set_num_threads(spec["threads"])
    workload = Path(spec["workload"])
    pairs, tokenizer = read_tokenized(workload), load_tokenizer(workload)
    method = method_of(spec["method"])
    steps = order(len(pairs), spec["seed"], spec["steps"])
    rows = write_rows(workload, [i for step in steps for i in step], Path(spec["rows"]))
    arguments = _arguments(spec, method.train.lr)
    model = build_model(workload, spec["device"], spec["weights"])
    meter = Meter()
    full = method.adapter.name == "full"
    needs_model = full and not arguments.precompute_ref_log_probs
    trainer = Trainer(
        model=model,
        ref_model=build_model(workload, spec["device"], spec["weights"]) if needs_model else None,
        args=arguments,
        train_dataset=load_dataset("json", data_files=str(rows), split="train", cache_dir=str(rows.parent / "cache")),
        processing_class=tokenizer,
        peft_config=None if full else adapter_config(method.adapter),
        callbacks=[Steps(meter)],
    )
    _check_same_tokens(trainer.train_dataset, [pairs[i] for step in steps for i in step])
    trainer.train()
    micro = torch.stack(trainer.micro_losses).float().tolist()
    each = BATCH_SIZE // spec["micro_batch_size"]
    return {
        **meter.report(),
        "reference_seconds": trainer.reference_seconds,
        "reference_pairs": len(pairs) if arguments.precompute_ref_log_probs else 0,
        "step_tokens": [sum(num_tokens(pairs[i]) for i in step) for step in steps[1:]],
        "losses": [sum(micro[i : i + each]) / each for i in range(0, len(micro), each)],
        "logps_chosen": [log["logps/chosen"] for log in trainer.state.log_history if "logps/chosen" in log],
    }


def write_rows(workload: Path, order_: list[int], folder: Path) -> Path:
    """The pairs as TRL reads them, in training order; not written again, so that TRL's cache stays valid."""
    path = folder / "rows.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pairs = [asdict(pair) for pair in read_texts(workload)]
        answers = [
            {key: [{"role": "assistant", "content": pair[key]}] for key in ("chosen", "rejected")} for pair in pairs
        ]
        lines = [json.dumps({"prompt": list(pairs[i]["prompt"]), **answers[i]}) for i in order_]
        path.write_text("".join(line + "\n" for line in lines))
    return path


def _arguments(spec: dict[str, Any], lr: float) -> DPOConfig:
    """The same step as ours: optimizer, rate, clipping and order; everything else is TRL's default."""
    on_cpu = spec["device"] == "cpu"
    return DPOConfig(
        output_dir=str(Path(spec["rows"]) / "out"),
        per_device_train_batch_size=spec["micro_batch_size"],
        gradient_accumulation_steps=BATCH_SIZE // spec["micro_batch_size"],
        max_steps=spec["steps"],
        learning_rate=lr,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        beta=BETA,
        max_length=MAX_LENGTH,
        bf16=spec["dtype"] == "bfloat16",
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        train_sampling_strategy="sequential",
        seed=spec["seed"],
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **CONFIGURATIONS[spec["configuration"]],
    )


def _check_same_tokens(rows: Any, pairs: list[TokenizedPair]) -> None:
    """Both sides train on the same token ids in the same order, or the comparison is void."""
    for row, pair in zip(rows, pairs, strict=True):
        given = tuple(tuple(row[f"{name}_ids"]) for name in ("prompt", "chosen", "rejected"))
        assert given == (pair.prompt_ids, pair.chosen_ids, pair.rejected_ids), f"pair {pair.id}: other tokens"


if __name__ == "__main__":
    child(run)
