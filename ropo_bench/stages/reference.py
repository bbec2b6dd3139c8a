"""reference: the base model's log-probabilities of all pairs, one pass that all methods share."""

from __future__ import annotations

import time
from typing import Any

from ropo_bench.recipes.method import TrainRecipe
from ropo_bench.stages import pairs
from ropo_bench.stages.bench import Bench
from ropo_bench.store import Stage
from ropo_bench.training.team.job import Job
from ropo_bench.training.team.launch import run

VERSION = 1


def stage(bench: Bench, train: TrainRecipe) -> Stage:
    """Base, pairs, template and lengths fix reference log-probabilities, no method does.

    In float32 the core's switches and sizes leave them as they are, to 1e-4 nats a sequence (a law of the tests),
    and all methods share one pass. In bfloat16 packed and padded rows differ by a tenth of a nat, as much as
    training changes in its first steps: there a reference holds for passes of the same switches and sizes only.
    """
    return bench.store.stage_of(
        "reference",
        {
            "base": bench.base.key,
            "pairs": pairs.stage(bench).key,
            "lengths": [train.max_length, train.max_prompt_length],
            "dtype": train.dtype,
            "passes": None if train.dtype == "float32" else _passes(train),
            "code": bench.code(VERSION, __name__, "ropo_bench.training.reference"),
            "engines": bench.engines("torch", "transformers"),
        },
    )


def _passes(train: TrainRecipe) -> dict[str, Any]:
    """What a forward pass of the training looks like: below float32 its numbers depend on it."""
    sizes = {"pairs": train.micro_batch_size, "tokens": train.micro_batch_tokens}
    return {**train.core.model_dump(), **sizes}


def make(bench: Bench, train: TrainRecipe) -> Stage:
    """One pass of the base model over all pairs, unless that was done; resumable by batch."""
    reference = stage(bench, train)
    with reference.begin(bench.progress.note) as todo:
        if todo:
            began = time.perf_counter()
            preference = pairs.make(bench)
            num_pairs: int = preference.manifest["num_pairs"]
            job = Job(
                base=bench.base.folder,
                base_name=bench.suite.base,
                pairs=preference.path / "pairs.jsonl",
                folder=reference.path,
                train=train,
            )
            with bench.progress.stage("reference", "SFT", total=num_pairs, unit="pairs") as bar:
                run(job, bench.launch, lambda done, tokens: bar.update(done, tokens=tokens))
            reference.finish({"num_pairs": num_pairs, "seconds": time.perf_counter() - began})
    return reference
