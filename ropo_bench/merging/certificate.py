"""The merge certificate: does the model on disk do what the trained policy does, and what did the cast cost?

Judged by function, in every dtype: the policy as it trained, its merge in memory, that merge cast to the files'
dtype, and the folder read back answer the same probes (merging.function), so that each step on the way answers for
itself. Beside it every weight is compared with the cast of the trained one (merging.weights), and config, generation
config, tokenizer and files with the base's (merging.folder). Memory holds one model at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from ropo_bench.adapters import plain_model
from ropo_bench.errors import CertificateFailed
from ropo_bench.merging.engine import MAX_ENGINE_ERROR, write_token_probes
from ropo_bench.merging.folder import compare_folders
from ropo_bench.merging.function import Answers, FunctionDifference, compare_functions
from ropo_bench.merging.merge import fuse, round_weights
from ropo_bench.merging.read_back import ON_DISK, load_float32, read_back
from ropo_bench.merging.weights import WeightDifference, compare_weights
from ropo_bench.models.load import DTYPES
from ropo_bench.store.bounded import finite_json
from ropo_bench.store.files import TEMPORARY_PREFIX, atomic_write_json

if TYPE_CHECKING:
    from ropo_bench.recipes.suite import MergeRecipe

# Merging again gives the same bits on the same machine; another machine's rounding stays well below this.
MAX_WEIGHT_ERROR = {"float32": 1e-5, "bfloat16": 1e-4, "float16": 1e-4}
MAX_KL_NATS = {"float32": 1e-5, "bfloat16": 1e-3, "float16": 1e-3}
# Logits that differ by less of their size differ by rounding: 4e-7 in a model of 3 M parameters, more in deeper ones.
ROUNDING = 1e-5
SHOWN_FAILURES = 4


class Certificate(FunctionDifference, WeightDifference):
    """What `certificate.json` holds, with the limits as they were applied; None where a figure is not finite."""

    dtype: str
    num_probe_tokens: int
    limits: dict[str, float]
    failures: list[str]


def certify(
    policy: nn.Module,
    base_dir: Path,
    merged_dir: Path,
    probe_input_ids: Sequence[Sequence[int]],
    limits: MergeRecipe,
    texts: Sequence[str] = (),
) -> Certificate:
    """Compare the policy with the reloaded folder, write `merged_dir/certificate.json`, return its content.

    The policy is used up. Arguments as in `measure`. Raises CertificateFailed naming what failed, measured, limit and
    mend, and StorageError if the folder cannot be read back.
    """
    certificate = measure(policy, base_dir, merged_dir, probe_input_ids, limits, texts)
    atomic_write_json(merged_dir / "certificate.json", cast(Any, certificate))
    if certificate["failures"]:
        raise CertificateFailed(f"merge certificate of {merged_dir}: {shown_failures(certificate)}")
    return certificate


def shown_failures(certificate: Certificate) -> str:
    """What a certificate failed at, in one line."""
    failures = certificate["failures"]
    more = f"; and {len(failures) - SHOWN_FAILURES} more" if failures[SHOWN_FAILURES:] else ""
    return "; ".join(failures[:SHOWN_FAILURES]) + more


def measure(
    policy: nn.Module,
    base_dir: Path,
    merged_dir: Path,
    probe_input_ids: Sequence[Sequence[int]],
    limits: MergeRecipe,
    texts: Sequence[str] = (),
    growth: float = 1.0,
) -> Certificate:
    """Compare the policy with the reloaded folder; beside its weights come tokens for the engine's check.

    The policy is used up: its adapters are merged in place, its memory goes to the other models. base_dir: the model
    before training. probe_input_ids: one list of token ids a prompt. texts: what the tokenizer is tried on. growth:
    by how much the update may still grow (a first look; see compare_weights). Raises CertificateFailed for weights
    that are missing or left over, and StorageError if the folder cannot be read back.
    """
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=merged_dir.parent) as name:
        scratch = Path(name)
        base, _ = load_float32(base_dir, offload_folder=scratch / "base", **ON_DISK)
        merged = read_back(merged_dir, offload_folder=scratch / "merged", **ON_DISK)
        weights = compare_weights(policy, base, merged, limits.dtype, growth)
        del base, merged
        answers = _answers(policy, base_dir, merged_dir, probe_input_ids, limits.dtype, scratch)
        difference = compare_functions(answers)
        write_token_probes(answers, merged_dir)
    certificate: Certificate = {
        "dtype": limits.dtype,
        "num_probe_tokens": sum(len(ids) for ids in probe_input_ids),
        **difference,
        **weights,
        "limits": applied_limits(limits),
        "failures": [],
    }
    failures = [*compare_folders(base_dir, merged_dir, limits.dtype, texts), *_failures(certificate)]
    return cast(Certificate, finite_json(certificate | {"failures": failures}))


def applied_limits(limits: MergeRecipe) -> dict[str, float]:
    """The limits of a certificate in the recipe's dtype, each under the name of the figure that it holds for."""
    dtype = limits.dtype
    return {
        "mean_kl": MAX_KL_NATS[dtype] if limits.mean_kl is None else limits.mean_kl,
        **({"top1_agreement": limits.top1_agreement} if dtype == "float32" else {}),
        "merge_error": limits.merge_error,
        "folder_error": ROUNDING,
        "kept_change": limits.kept_change,
        "weight_error": MAX_WEIGHT_ERROR[dtype],
        "orthogonality": limits.orthogonality,
        "engine_error": MAX_ENGINE_ERROR[dtype],  # not measured here: see merging.engine
    }


def _answers(
    policy: nn.Module, base_dir: Path, merged_dir: Path, probes: Sequence[Sequence[int]], dtype: str, scratch: Path
) -> Answers:
    """The six models' answers to the probes, one model in memory at a time."""
    exact = dtype == "float32"
    answers = Answers(scratch, probes, {"rounded": "fused", "base_rounded": "base"} if exact else {})
    device = next(policy.parameters()).device
    answers.keep("policy", policy.float())
    fuse(policy)
    plain = plain_model(policy)
    answers.keep("fused", plain)
    if not exact:
        answers.keep("rounded", round_weights(plain, DTYPES[dtype]))
    policy.to("meta")
    base, _ = load_float32(base_dir)
    answers.keep("base", base.to(device))
    if not exact:
        answers.keep("base_rounded", round_weights(base, DTYPES[dtype]))
    del base
    answers.keep("merged", read_back(merged_dir).to(device))
    return answers


def _failures(measured: Certificate) -> list[str]:
    """One line for every limit that does not hold; what is not finite holds none."""
    checks = (_weights, _overflow, _rotations, _merge, _folder, _divergence, _change)
    return [line for line in (check(measured) for check in checks) if line]


def _weights(measured: Certificate) -> str | None:
    bound = measured["limits"]["weight_error"]
    if measured["weight_error"] is None or measured["weight_error"] <= bound:
        return None
    worst = max(measured["modules"], key=lambda module: module["weight_error"] or 0.0)
    return (
        f"weight_error {worst['weight_error']:.3g} > {bound:g} in {worst['name']}: "
        "the folder does not hold the trained weights; merge again"
    )


def _overflow(measured: Certificate) -> str | None:
    dtype = measured["dtype"]
    over = [module for module in measured["modules"] if module["overflow"]]
    if over:
        worst = max(over, key=lambda module: module["overflow"] or 0.0)
        more = f" (and {len(over) - 1} weights more)" if over[1:] else ""
        return (
            f"overflow: |{worst['name']}| up to {worst['overflow']:.4g}{more}, more than {dtype} can hold; "
            "set merge.dtype: bfloat16 or float32"
        )
    lost = [module["name"] for module in measured["modules"] if module["weight_error"] is None]
    return f"{lost[0]}: holds numbers that are not finite; merge again" if lost else None


def _rotations(measured: Certificate) -> str | None:
    error, bound = measured["orthogonality_error"], measured["limits"]["orthogonality"]
    if error is None or error <= bound:
        return None
    return (
        f"orthogonality {error:.3g} > {bound:g}: max |R^T R - I|; use an exactly "
        "orthogonal parametrisation (for OFT: use_cayley_neumann: false)"
    )


def _merge(measured: Certificate) -> str | None:
    error, bound = measured["merge_error"], measured["limits"]["merge_error"]
    if error <= bound or measured["merge_rounding"] <= ROUNDING:
        return None
    return (
        f"merge_error {error:.3g} > {bound:g}: merged in memory, the adapter is not what it was in training "
        "(|difference| of logits over the change that training made); mend the adapter's merge"
    )


def _folder(measured: Certificate) -> str | None:
    error, bound = measured["folder_error"], measured["limits"]["folder_error"]
    if error <= bound or any(module["overflow"] for module in measured["modules"]):
        return None
    return (
        f"folder_error {error:.3g} > {bound:g}: the folder's logits are not those of the trained weights, cast to "
        f"{measured['dtype']}; compare its config.json with the base's, and merge again"
    )


def _divergence(measured: Certificate) -> str | None:
    limits, lines = measured["limits"], []
    if not measured["mean_kl"] <= limits["mean_kl"]:
        lines.append(f"mean_kl {measured['mean_kl']:.3g} > {limits['mean_kl']:g} nats a token")
    if not measured["top1_agreement"] >= limits.get("top1_agreement", 0.0):
        lines.append(f"top1_agreement {measured['top1_agreement']:.5g} < {limits['top1_agreement']:g}")
    if not lines:
        return None
    mend = "merge again" if measured["dtype"] == "float32" else "set merge.dtype: float32, or merge again"
    return f"{'; '.join(lines)}: policy and merged model answer differently; {mend}"


def _change(measured: Certificate) -> str | None:
    """Lost only where logits and weights both say so: of one, rounding noise may hide what is there."""
    bound = measured["limits"]["kept_change"]
    if measured["kept_update"] >= bound or not measured["kept_change"] < bound:
        return None
    wider = "float32" if measured["dtype"] == "float16" else "float16 or float32"
    return (
        f"kept_change {measured['kept_change']:.3g} < {bound:g} (weights: {measured['kept_update']:.3g}): "
        f"the cast to {measured['dtype']} lost what training changed, the row would be its base under another name; "
        f"set merge.dtype: {wider}"
    )
