"""policy: one method trained with one seed, an adapter folder or, for full fine-tuning, a whole model."""

from __future__ import annotations

from typing import Any

from ropo_bench.recipes.load import settings
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.objects import module_of
from ropo_bench.stages import first_look, pairs, reference
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Stage, read_json
from ropo_bench.training.team.job import LOGPS, TRAINED, Job
from ropo_bench.training.team.launch import run

VERSION = 1


def stage(bench: Bench, method: MethodRecipe, seed: int) -> Stage:
    """The trained policy: settings decide it, its name and description do not."""
    return bench.store.stage_of(
        "policy",
        {
            "reference": reference.stage(bench, method.train).key,
            "settings": settings(method),
            "seed": seed,
            "code": bench.code(VERSION, __name__, "ropo_bench.training.policy", *_users_modules(method)),
            "engines": bench.engines("torch", "transformers", "peft"),
        },
    )


def _users_modules(method: MethodRecipe) -> list[str]:
    """Modules of a user's own loss and adapter."""
    return [module for name in (method.adapter.name, method.loss.name) if (module := module_of(name)) is not None]


def make(bench: Bench, method: MethodRecipe, seed: int) -> Stage:
    """Train one method with one seed, unless that was done; computes the reference first where the loss reads it."""
    policy = stage(bench, method, seed)
    with bench.begin(policy, "train", method.name) as todo:
        if todo:
            pairs.make(bench).folder()  # what training reads from them, large as it may be, is as it was finished
            logps = reference.stage(bench, method.train)
            if logps.done:
                logps.folder()
            if not finish(policy):
                _train(bench, policy, method, seed)
                finish(policy)
                if cut := cut_note(policy):
                    bench.progress.note(f"{method.name} seed {seed}: {cut}")
    return policy


def _train(bench: Bench, policy: Stage, method: MethodRecipe, seed: int) -> None:
    """Train to the end, with a stop after the first steps for a look at the merge."""
    from ropo_bench.losses import resolve_loss
    from ropo_bench.training.batches import num_steps

    train, preference = method.train, pairs.make(bench)
    uses_reference = resolve_loss(method.loss.name).uses_reference
    job = Job(
        base=bench.base.folder,
        base_name=bench.suite.base,
        pairs=preference.path / "pairs.jsonl",
        folder=policy.path,
        train=train,
        method=method,
        seed=seed,
        reference=reference.make(bench, train).path / LOGPS if uses_reference else None,
    )
    total = num_steps(preference.manifest["num_pairs"], train.batch_size, train.epochs, train.max_steps)
    until = first_look.step_of(bench, policy, total)
    with bench.progress.stage("train", method.name, seed=seed, total=total) as bar:

        def on_step(step: int, tokens: int) -> None:
            bar.update(step, tokens=tokens)

        if until is not None:
            run(job.model_copy(update={"until": until}), bench.launch, on_step)
            first_look.look(bench, policy, method, until, total)
        run(job, bench.launch, on_step)


def finish(policy: Stage) -> bool:
    """Finish a stage whose policy is trained and saved; False where it is not."""
    if not (policy.path / TRAINED).is_file():
        return False
    from ropo_bench.training import checkpoint

    checkpoint.remove(policy.path)
    policy.finish(read_json(policy.path / TRAINED))
    return True


def cut_note(policy: Stage) -> str:
    """How many prompts and completions of a trained policy the length limits cut; empty where none."""
    prompts, completions = (policy.manifest[f"num_truncated_{what}"] for what in ("prompts", "completions"))
    total: int = policy.manifest["num_pairs"]
    parts: list[Any] = [f"{prompts:,} of {total:,} prompts (train.max_prompt_length)"] if prompts else []
    parts += [f"{completions:,} of {2 * total:,} completions (train.max_length)"] if completions else []
    return f"cut to the length limits: {' and '.join(parts)}" if parts else ""
