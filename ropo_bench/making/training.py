"""How the stages of training are made, from preference data to a merged model with its certificate."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ropo_bench.errors import CertificateFailed, MethodFailed, UsageError, first_line
from ropo_bench.runs.items import read_pairs
from ropo_bench.store import Stage, atomic_folder, atomic_write_json, atomic_write_text, read_json
from ropo_bench.store.files import TEMPORARY_PREFIX
from ropo_bench.training.team.job import EARLY, LOGPS, TRAINED
from ropo_bench.training.team.launch import run

if TYPE_CHECKING:
    from ropo_bench.recipes.method import MethodRecipe, TrainRecipe
    from ropo_bench.recipes.suite import MergeRecipe
    from ropo_bench.stages import Stages

# A stage is made again when its own source changes, and only then.
_TRAINING = "ropo_bench.training"
REFERENCE_CODE = (
    *(
        f"{_TRAINING}.{name}"
        for name in ("attention", "batches", "compiling", "core", "elementwise", "head", "layers")
    ),
    *(
        f"{_TRAINING}.{name}"
        for name in ("logprobs", "packing", "precision", "products", "reference", "devices", "job")
    ),
    "ropo_bench.preferences",
    "ropo_bench.models.load",
    "ropo_bench.making.training",
)
POLICY_CODE = (
    *(f"{_TRAINING}.{name}" for name in ("checkpoint", "loop", "preference", "sharding")),
    "ropo_bench.losses",
    "ropo_bench.adapters",
    *REFERENCE_CODE,
)
MERGE_CODE = (
    "ropo_bench.merging",
    "ropo_bench.models.geometry",
    "ropo_bench.adapters",
    "ropo_bench.models.load",
    "ropo_bench.making.training",
)
NUM_PROBES = 32
NUM_EARLY_PROBES = 8
# A training of fewer than twice so many steps is over before a look in its middle would pay.
FIRST_LOOK_STEPS = 50
FIRST_LOOK = "first_look.json"
PROBE_TOKENS = 512


def make_pairs(stage: Stage, source: str, special_tokens: Sequence[str] = ()) -> None:
    """Read, check and normalise preference data; special_tokens: the base's, which no text may hold."""
    from ropo_bench import preferences

    found = preferences.read_pairs(source, special_tokens)
    lines = "".join(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in found.pairs)
    atomic_write_text(stage.path / "pairs.jsonl", lines)
    left_out = [{"id": item.id, "reason": item.reason} for item in found.left_out]
    stage.finish(
        {
            "num_pairs": len(found.pairs),
            "left_out": left_out,
            "sha256": found.sha256,
            "counts": dict(found.counts),
            "unread_keys": dict(found.unread),
        }
    )


def preflight(stages: Stages, methods: Sequence[MethodRecipe]) -> dict[str, str]:
    """Find before anything expensive what would fail after it; why by method, where a user's adapter fails alone.

    Raises UsageError, which names the method, for what its recipe has wrong.
    Checked: every loss and adapter by name, every adapter's modules against the base model's, lengths against the
    base's rope, and the chat template, which must give training and generation the same tokens.
    """
    from ropo_bench.adapters import count_parameters
    from ropo_bench.losses import resolve_loss
    from ropo_bench.models.load import load_tokenizer
    from ropo_bench.preferences import template_preflight

    _check_lengths(stages, methods)
    failures: dict[str, str] = {}
    for method in methods:
        try:
            resolve_loss(method.loss.name)
            count_parameters(stages.base.folder, method.adapter)
        except UsageError as error:
            raise UsageError(f"{method.name}: {error}") from error
        except MethodFailed as error:
            failures[method.name] = first_line(error)
    if methods:
        template_preflight(load_tokenizer(stages.base.folder), read_pairs(stages.pairs)[:NUM_PROBES])
    return failures


def _check_lengths(stages: Stages, methods: Sequence[MethodRecipe]) -> None:
    """UsageError where a pair's log-probability would depend on the pairs beside it."""
    from transformers import AutoConfig

    from ropo_bench.models.load import steady_positions

    base = stages.base.folder
    bound = steady_positions(AutoConfig.from_pretrained(base, local_files_only=True).get_text_config())
    for method in methods:
        if bound is not None and method.train.max_length > bound:
            raise UsageError(
                f"method {method.name}: train.max_length {method.train.max_length} is more than the {bound} "
                f"positions of {stages.suite.base}: beyond them its rope changes with the longest sequence of a "
                f"batch, and so do a pair's log-probabilities with the pairs beside it; set train.max_length={bound}"
            )


def make_reference(stages: Stages, stage: Stage, train: TrainRecipe) -> None:
    """One pass of the base model over all pairs, resumable by batch."""
    began = time.perf_counter()
    num_pairs: int = stages.pairs.manifest["num_pairs"]
    with stages.progress.stage("reference", "SFT", total=num_pairs, unit="pairs") as bar:
        _do(stages, stage, train, lambda done, tokens: bar.update(done, tokens=tokens))
    stage.finish({"num_pairs": num_pairs, "seconds": time.perf_counter() - began})


def make_policy(stages: Stages, stage: Stage, method: MethodRecipe, seed: int) -> None:
    """Train one method with one seed."""
    from ropo_bench.losses import resolve_loss
    from ropo_bench.training.batches import num_steps

    if finish_policy(stage):
        return
    train = method.train
    reference: Path | None = None
    if resolve_loss(method.loss.name).uses_reference:
        logps = stages.reference(train)
        with logps.begin(stages.progress.note) as todo:
            if todo:
                make_reference(stages, logps, train)
        reference = logps.path / LOGPS
    total = num_steps(stages.pairs.manifest["num_pairs"], train.batch_size, train.epochs, train.max_steps)
    settings: dict[str, Any] = {"method": method, "seed": seed, "reference": reference}
    until: int | None = FIRST_LOOK_STEPS
    if total < 2 * FIRST_LOOK_STEPS or _looked_at(stage, stages.suite.merge):
        until = None
    with stages.progress.stage("train", method.name, seed=seed, total=total) as bar:
        on_step = lambda step, tokens: bar.update(step, tokens=tokens)  # noqa: E731
        _do(stages, stage, train, on_step, until=until, **settings)
        if until is not None:
            look(stages, stage, method, until, total)
            _do(stages, stage, train, on_step, **settings)
    finish_policy(stage)
    if cut := cut_note(stage):
        stages.progress.note(f"{method.name} seed {seed}: {cut}")


def cut_note(stage: Stage) -> str:
    """How many prompts and completions of a trained policy the length limits cut; empty where none."""
    prompts, completions = (stage.manifest[f"num_truncated_{what}"] for what in ("prompts", "completions"))
    total = stage.manifest["num_pairs"]
    parts = [f"{prompts:,} of {total:,} prompts (train.max_prompt_length)"] if prompts else []
    parts += [f"{completions:,} of {2 * total:,} completions (train.max_length)"] if completions else []
    return f"cut to the length limits: {' and '.join(parts)}" if parts else ""


def look(stages: Stages, stage: Stage, method: MethodRecipe, step: int, total: int) -> None:
    """Certify a merge of the policy as it is after its first steps; raises CertificateFailed.

    A config, a tokenizer, an adapter or a dtype that cannot pass is found after minutes. An update that is still
    small is no failure: what the cast will keep is asked of an update as large as the rest of the schedule can make
    it, if all steps go the same way.
    """
    from ropo_bench.merging.certificate import measure, shown_failures
    from ropo_bench.training.loop import learning_rate

    rates = [learning_rate(method.train, total, i) for i in range(total)]
    growth = sum(rates) / sum(rates[:step]) if any(rates[:step]) else 1.0
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=stage.path) as name:
        merged = Path(name) / "model"
        merged.mkdir()
        policy, probes, texts = _merge(stages, stage.path / EARLY, merged, NUM_EARLY_PROBES)
        certificate = measure(policy, stages.base.folder, merged, probes, stages.suite.merge, texts, growth)
    shutil.rmtree(stage.path / EARLY)
    if certificate["failures"]:
        raise CertificateFailed(
            f"first look at {method.name} after {step} of {total} steps: {shown_failures(certificate)} (what is "
            "trained is kept: mend that, and the same command goes on)"
        )
    atomic_write_json(stage.path / FIRST_LOOK, {"step": step, "merge": stages.suite.merge.model_dump()})


def _looked_at(stage: Stage, merge: MergeRecipe) -> bool:
    """Whether a first look passed, at the same dtype and limits."""
    path = stage.path / FIRST_LOOK
    return path.is_file() and bool(read_json(path)["merge"] == merge.model_dump())


def _do(
    stages: Stages, stage: Stage, train: TrainRecipe, on_step: Callable[[int, int], None], **settings: Any
) -> None:
    """Do a stage's work in this process or, where more are asked for, by a team of them."""
    from ropo_bench.training.team.job import Job

    pairs = stages.pairs.path / "pairs.jsonl"
    job = Job(
        base=stages.base.folder,
        base_name=stages.suite.base,
        pairs=pairs,
        folder=stage.path,
        train=train,
        **settings,
    )
    run(job, stages.launch, on_step)


def finish_policy(stage: Stage) -> bool:
    """Finish a stage whose policy is trained and saved; False where it is not."""
    from ropo_bench.training import checkpoint

    if not (stage.path / TRAINED).is_file():
        return False
    checkpoint.remove(stage.path)
    stage.finish(read_json(stage.path / TRAINED))
    return True


def make_merged(stages: Stages, stage: Stage, policy_folder: Path, label: str) -> None:
    """Merge, reload, compare: the certificate decides whether the model may be evaluated."""
    from ropo_bench.merging.certificate import certify

    began = time.perf_counter()
    with stages.progress.stage("merge", label, total=1, unit="models") as bar:
        with atomic_folder(stage.path / "model") as folder:
            policy, probes, texts = _merge(stages, policy_folder, folder, NUM_PROBES)
        certificate = certify(policy, stages.base.folder, stage.path / "model", probes, stages.suite.merge, texts)
        bar.update(1)
    stage.finish({"certificate": cast(Any, certificate), "seconds": time.perf_counter() - began})


def _merge(
    stages: Stages, policy_folder: Path, folder: Path, num_probes: int
) -> tuple[Any, list[list[int]], list[str]]:
    """Merge a trained policy into an empty folder; the policy, the probes' token ids and their texts."""
    from ropo_bench.merging.merge import merge
    from ropo_bench.models.load import load_policy, load_tokenizer
    from ropo_bench.preferences import tokenize_pairs

    policy = load_policy(stages.base.folder, policy_folder)
    merge(stages.base.folder, policy, folder, stages.suite.merge.dtype)
    pairs = read_pairs(stages.pairs)[:num_probes]
    tokenized = tokenize_pairs(pairs, load_tokenizer(stages.base.folder), PROBE_TOKENS, PROBE_TOKENS // 2).pairs
    texts = [text for pair in pairs for text in (pair.prompt[-1]["content"], pair.chosen, pair.rejected)]
    return policy, [list(pair.prompt_ids + pair.chosen_ids) for pair in tokenized], texts
