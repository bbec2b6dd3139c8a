"""How the stages of training are made, from preference data to a merged model with its certificate."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ropo_bench.provenance import provenance
from ropo_bench.records import read_pairs
from ropo_bench.runs import Stage, atomic_folder, atomic_write_json, atomic_write_text, read_json

if TYPE_CHECKING:
    from ropo_bench.methods import MethodRecipe, TrainRecipe
    from ropo_bench.stages import Stages
    from ropo_bench.types import TokenizedPair

# A stage is made again when its own source changes, and only then.
_TRAINING = "ropo_bench.training"
REFERENCE_CODE = (
    f"{_TRAINING}.reference",
    f"{_TRAINING}.logprobs",
    f"{_TRAINING}.batches",
    "ropo_bench.preferences",
    "ropo_bench.models",
    "ropo_bench.making.training",
)
POLICY_CODE = (
    f"{_TRAINING}.loop",
    f"{_TRAINING}.preference",
    "ropo_bench.losses",
    "ropo_bench.adapters",
    *REFERENCE_CODE,
)
MERGE_CODE = (
    f"{_TRAINING}.merge",
    f"{_TRAINING}.certificate",
    "ropo_bench.geometry",
    "ropo_bench.adapters",
    "ropo_bench.models",
    "ropo_bench.making.training",
)
NUM_PROBES = 32
PROBE_TOKENS = 512
TRAINED = "trained.json"


def make_pairs(stage: Stage, source: str) -> None:
    """Read, check and normalise preference data."""
    from ropo_bench import preferences

    found = preferences.read_pairs(source)
    lines = "".join(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in found.pairs)
    atomic_write_text(stage.path / "pairs.jsonl", lines)
    left_out = [{"id": item.id, "reason": item.reason} for item in found.left_out]
    stage.finish({"num_pairs": len(found.pairs), "left_out": left_out, "sha256": found.sha256})


def _tokenized(stages: Stages, train: TrainRecipe, tokenizer: Any) -> Any:
    from ropo_bench.preferences import tokenize_pairs

    return tokenize_pairs(read_pairs(stages.pairs), tokenizer, train.max_length, train.max_prompt_length)


def preflight(stages: Stages, methods: Sequence[MethodRecipe]) -> None:
    """Find before anything expensive what would fail after it; raises UsageError.

    Checked: every loss and adapter by name, every adapter's modules against the base model's, and the chat
    template, which must give training and generation the same tokens.
    """
    from ropo_bench.adapters import count_parameters
    from ropo_bench.losses import resolve_loss
    from ropo_bench.models import load_tokenizer
    from ropo_bench.preferences import template_preflight

    for method in methods:
        resolve_loss(method.loss.name)
        count_parameters(stages.base.folder, method.adapter)
    if methods:
        template_preflight(load_tokenizer(stages.base.folder), read_pairs(stages.pairs)[:NUM_PROBES])


def make_reference(stages: Stages, stage: Stage, train: TrainRecipe, pairs: list[TokenizedPair]) -> None:
    """One pass of the base model over all pairs, resumable by batch."""
    from ropo_bench.models import load_model, load_tokenizer
    from ropo_bench.training.reference import compute_reference

    tokenizer = load_tokenizer(stages.base.folder)
    model = load_model(stages.base.folder, "float32")
    began = time.perf_counter()
    with stages.progress.stage("reference", "SFT", total=len(pairs), unit="pairs") as bar:
        compute_reference(
            model,
            pairs,
            tokenizer.pad_token_id,
            train.micro_batch_size,
            train.dtype,
            stage.path / "logps.jsonl",
            lambda done, tokens: bar.update(done, tokens=tokens),
        )
    stage.finish({"num_pairs": len(pairs), "seconds": time.perf_counter() - began})


def make_policy(stages: Stages, stage: Stage, method: MethodRecipe, seed: int) -> None:
    """Train one method with one seed."""
    import torch

    from ropo_bench.adapters import attach
    from ropo_bench.losses import resolve_loss
    from ropo_bench.models import load_model, load_tokenizer
    from ropo_bench.training.loop import fit
    from ropo_bench.training.preference import PreferenceObjective
    from ropo_bench.training.reference import read_reference

    if finish_policy(stage):
        return
    train = method.train
    tokenizer = load_tokenizer(stages.base.folder)
    tokenized = _tokenized(stages, train, tokenizer)
    reference = None
    if resolve_loss(method.loss.name).uses_reference:
        logps = stages.reference(train)
        with logps.begin(stages.progress.note) as todo:
            if todo:
                make_reference(stages, logps, train, tokenized.pairs)
        reference = read_reference(logps.path / "logps.jsonl")
    objective = PreferenceObjective(tokenized.pairs, reference, method.loss, train, seed, tokenizer.pad_token_id)
    torch.manual_seed(seed)  # LoRA's first matrix is random
    # All weights in fp32 for every method, train.dtype by autocast: reference, policy and merge share one base.
    base = load_model(stages.base.folder, "float32")
    total = sum(p.numel() for p in base.parameters())
    model: Any = attach(base, method.adapter)
    with stages.progress.stage("train", method.name, seed=seed, total=objective.num_steps) as bar:
        result = fit(model, objective, train, seed, stage.path, lambda step, tokens: bar.update(step, tokens=tokens))
    with atomic_folder(stage.path / "policy") as folder:
        _save(model, folder, stages.suite.base)
    content = {
        "method": method.name,
        "seed": seed,
        "trainable_params": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "total_params": total,
        "num_pairs": len(tokenized.pairs),
        "num_truncated_prompts": tokenized.num_truncated_prompts,
        "num_truncated_completions": tokenized.num_truncated_completions,
        **asdict(result),
        "made_with": cast(Any, provenance()),
    }
    # From here on a kill costs no training: the next attempt finds the trained policy and its record.
    atomic_write_json(stage.path / TRAINED, content)
    finish_policy(stage)


def finish_policy(stage: Stage) -> bool:
    """Finish a stage whose policy is trained and saved; False where it is not."""
    from ropo_bench.training import checkpoint

    if not (stage.path / TRAINED).is_file():
        return False
    checkpoint.remove(stage.path)
    stage.finish(read_json(stage.path / TRAINED))
    return True


def _save(model: Any, folder: Path, base: str) -> None:
    """Save a whole model, or an adapter that names its base as the suite does, not by a path of this machine."""
    if not hasattr(model, "peft_config"):
        model.save_pretrained(folder)
        return
    for config in model.peft_config.values():
        config.base_model_name_or_path = base
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # a model card that nobody filled in


def make_merged(stages: Stages, stage: Stage, policy_folder: Path, label: str) -> None:
    """Merge, reload, compare: the certificate decides whether the model may be evaluated."""
    from ropo_bench.models import load_model, load_policy, load_tokenizer
    from ropo_bench.preferences import tokenize_pairs
    from ropo_bench.training.certificate import certify
    from ropo_bench.training.merge import merge

    base = load_model(stages.base.folder, "float32")
    policy = load_policy(stages.base.folder, policy_folder)
    tokenizer = load_tokenizer(stages.base.folder)
    pairs = read_pairs(stages.pairs)[:NUM_PROBES]
    tokenized = tokenize_pairs(pairs, tokenizer, PROBE_TOKENS, PROBE_TOKENS // 2).pairs
    probes = [list(pair.prompt_ids + pair.chosen_ids) for pair in tokenized]
    with stages.progress.stage("merge", label, total=1, unit="models") as bar:
        with atomic_folder(stage.path / "model") as folder:
            merge(stages.base.folder, policy, folder, stages.suite.merge.dtype)
        certificate = certify(policy, base, stage.path / "model", probes, stages.suite.merge)
        bar.update(1)
    stage.finish({"certificate": cast(Any, certificate)})
