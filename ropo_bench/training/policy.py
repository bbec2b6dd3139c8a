"""The training of one method with one seed, as a process of a team does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch

from ropo_bench.adapters import attach
from ropo_bench.models.load import load_model, load_tokenizer
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.runs.provenance import provenance
from ropo_bench.store import atomic_folder, atomic_write_json
from ropo_bench.training.core.own_forward import check_logps
from ropo_bench.training.loop import fit
from ropo_bench.training.preference import PreferenceObjective
from ropo_bench.training.reference import read_reference
from ropo_bench.training.team.devices import Team, team, written_once
from ropo_bench.training.team.job import EARLY, TRAINED, Job
from ropo_bench.training.team.sharding import whole_state
from ropo_bench.training.tokens import tokenize_job


def train(job: Job, method: MethodRecipe, on_step: Callable[[int, int], None]) -> None:
    """Train, then write folder/policy and, last, folder/trained.json with what the stage's manifest tells.

    With job.until nothing but folder/early is written beside the checkpoint.
    """
    own = team()
    tokenizer = load_tokenizer(job.base)
    tokenized = tokenize_job(job, tokenizer)
    reference = None if job.reference is None else read_reference(job.reference)
    objective = PreferenceObjective(
        tokenized.pairs, reference, method.loss, method.train, job.seed, tokenizer.pad_token_id
    )
    torch.manual_seed(job.seed)  # LoRA's first matrix is random
    # All weights in fp32 for every method, train.dtype by autocast: reference, policy and merge share one base.
    # What is sharded goes to its devices layer by layer.
    base = load_model(job.base, "float32", torch.device("cpu") if own.shard else None)
    total = sum(p.numel() for p in base.parameters())
    model: Any = attach(base, method.adapter)
    check_logps(model, tokenized.pairs, method.train.core, tokenizer.pad_token_id)
    result = fit(model, objective, method.train, job.seed, job.folder, on_step, job.until)
    if result.num_steps < objective.num_steps:
        save_policy(model, job.folder / EARLY, job.base_name, own)
        return
    save_policy(model, job.folder / "policy", job.base_name, own)
    content = {
        "method": method.name,
        "seed": job.seed,
        "trainable_params": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "total_params": total,
        "num_pairs": len(tokenized.pairs),
        "num_truncated_prompts": tokenized.num_truncated_prompts,
        "num_truncated_completions": tokenized.num_truncated_completions,
        "num_processes": own.size,
        "shard": own.shard,
        "gradient_checkpointing": method.train.gradient_checkpointing,
        **asdict(result),
    }
    # From here on a kill costs no training: the next attempt finds the trained policy and its record.
    written_once(lambda: atomic_write_json(job.folder / TRAINED, content | {"made_with": cast(Any, provenance())}))


def save_policy(model: Any, target: Path, base: str, own: Team) -> None:
    """Save a whole model, or an adapter that names its base as the suite does, not by a path of this machine."""
    adapted = hasattr(model, "peft_config")
    state = whole_state(model, own) if own.shard and not adapted else None

    def write() -> None:
        with atomic_folder(target) as folder:
            if not adapted:
                model.save_pretrained(folder, state_dict=state)
                return
            for config in model.peft_config.values():
                config.base_model_name_or_path = base
            model.save_pretrained(folder, save_embedding_layers=False)
            (folder / "README.md").unlink(missing_ok=True)  # a model card that nobody filled in

    written_once(write)
