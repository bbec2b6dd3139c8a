"""merged: a trained policy merged into whole weights, with the certificate that they answer as the policy does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from ropo_bench.runs.items import read_pairs
from ropo_bench.stages import pairs
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.store import Stage, atomic_folder
from ropo_bench.weights.files import is_adapter

VERSION = 1
NUM_PROBES = 32
PROBE_TOKENS = 512


def stage(bench: Bench, policy: str) -> Stage:
    """The merge of a policy, by the key of its stage or, for an adapter from elsewhere, of its folder."""
    return bench.store.stage_of(
        "merged",
        {
            "policy": policy,
            "base": bench.base.key,
            "pairs": pairs.stage(bench).key,
            "merge": bench.suite.merge.model_dump(),
            "code": bench.code(VERSION, __name__),
            "engines": bench.engines("torch", "transformers", "peft"),
        },
    )


def model(merged: Stage, seed: int) -> Model:
    """The model in a merged stage, its weights not looked at: who loads them asks `make`."""
    return Model(merged.key, merged.path / "model", seed + 1)


def make(bench: Bench, policy: Stage, label: str, seed: int) -> Model:
    """Merge a trained policy and certify the result, unless that was done; raises CertificateFailed."""
    return _make(bench, policy.key, lambda: policy.folder("policy"), label, seed)


def make_checkpoint(bench: Bench, name: str, label: str) -> tuple[Model, dict[str, Any] | None]:
    """A model trained elsewhere; an adapter folder is merged into the base first, and has a certificate."""
    checkpoint = bench.checkpoint(name)
    if not is_adapter(checkpoint.folder):
        return checkpoint, None
    merged = _make(bench, checkpoint.key, lambda: checkpoint.folder, label, 0)
    return merged, dict(stage(bench, checkpoint.key).manifest["certificate"])


def _make(bench: Bench, key: str, policy: Callable[[], Path], label: str, seed: int) -> Model:
    """policy: gives the folder of the trained policy, checked; asked only where there is something to merge."""
    merged = stage(bench, key)
    with bench.begin(merged, "merge", label) as todo:
        if todo:
            _merge_and_certify(bench, merged, policy(), label)
    merged.folder("model")
    return model(merged, seed)


def _merge_and_certify(bench: Bench, merged: Stage, policy: Path, label: str) -> None:
    """Merge, reload, compare: the certificate decides whether the model may be evaluated."""
    from ropo_bench.merging.certificate import certify

    began = time.perf_counter()
    with bench.progress.stage("merge", label, total=1, unit="models") as bar:
        with atomic_folder(merged.path / "model") as folder:
            trained, probes, texts = merge_policy(bench, policy, folder, NUM_PROBES)
        certificate = certify(trained, bench.base.folder, merged.path / "model", probes, bench.suite.merge, texts)
        bar.update(1)
    merged.finish({"certificate": cast(Any, certificate), "seconds": time.perf_counter() - began})


def merge_policy(bench: Bench, policy: Path, folder: Path, num_probes: int) -> tuple[Any, list[list[int]], list[str]]:
    """Merge a trained policy into an empty folder; the policy, the probes' token ids and their texts."""
    from ropo_bench.merging.merge import merge
    from ropo_bench.models.load import load_tokenizer
    from ropo_bench.models.policy import load_policy
    from ropo_bench.preferences import tokenize_pairs

    base = bench.base.folder
    trained = load_policy(base, policy)
    merge(base, trained, folder, bench.suite.merge.dtype)
    probes = read_pairs(pairs.make(bench))[:num_probes]
    tokenized = tokenize_pairs(probes, load_tokenizer(base), PROBE_TOKENS, PROBE_TOKENS // 2).pairs
    texts = [text for pair in probes for text in (pair.prompt[-1]["content"], pair.chosen, pair.rejected)]
    return trained, [list(pair.prompt_ids + pair.chosen_ids) for pair in tokenized], texts
