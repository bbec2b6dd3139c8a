"""The merge certificate: is the model on disk the model that was trained, and what did the cast cost?

The trained policy in memory is compared with the merged folder read back from the disk. All logits are
computed in fp32, so that a difference can only come from the weights. W is a weight before training, W' after it
(merged, in fp32). Memory holds one model at a time: the policy first, beside single weights of the base and of the
merged folder, then the merged model. Tensor letters: V vocabulary, T tokens of a probe.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.integrations.accelerate import load_offloaded_parameter

from ropo_bench.adapters import plain_model, rotations, tuner_layers
from ropo_bench.errors import CertificateFailed, StorageError, first_line
from ropo_bench.geometry import energy_drift, neuron_angle_drift, orthogonality_error
from ropo_bench.merging.merge import merged_weights
from ropo_bench.models import DTYPES
from ropo_bench.runs.files import TEMPORARY_PREFIX, atomic_write_json, storage_errors

if TYPE_CHECKING:
    from ropo_bench.suites import MergeRecipe

# Merging again gives the same bits on the same machine; another machine's rounding stays well below this.
MAX_WEIGHT_ERROR = {"float32": 1e-5, "bfloat16": 1e-4, "float16": 1e-4}
# Two tokens this close in log-probability are a tie: either may come out on top.
TIE_NATS = 1e-5
# A model that stays in its files: transformers finds each weight by its name in the model.
ON_DISK: dict[str, Any] = {"device_map": {"": "disk"}}


class Geometry(TypedDict):
    """What training did to the angles between neurons (radians), W' against W; None where not measured."""

    energy_drift: float | None
    max_angle_drift: float | None
    mean_angle_drift: float | None


class ModuleCertificate(Geometry):
    """One weight that trained.

    surviving_share: 1 - |landed - update| / |update|, Frobenius norms, with update = W' - W and
    landed = merged - cast(W): 1 if the cast kept all of it, 0 if nothing moved, less if it went elsewhere.
    weight_error: |merged - cast(W')| / |W'|. orthogonality_error: max |R^T R - I|, None without a rotation.
    """

    name: str
    surviving_share: float
    weight_error: float
    orthogonality_error: float | None


class LogitDifference(TypedDict):
    """Policy against merged: max |difference|, mean KL in nats a token, share of tokens with the same argmax."""

    max_abs_logit_difference: float
    mean_kl: float
    top1_agreement: float


class WeightDifference(TypedDict):
    """All weights together (surviving_share) or the worst one (the errors), and one by one."""

    surviving_share: float
    weight_error: float
    orthogonality_error: float | None
    modules: list[ModuleCertificate]


class Certificate(LogitDifference, WeightDifference):
    """What `certificate.json` holds, with the limits as they were applied."""

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
) -> Certificate:
    """Compare the policy with the reloaded folder, write `merged_dir/certificate.json`, return its content.

    The policy is used up: its memory goes to the merged model. base_dir: the model before training.
    probe_input_ids: one list of token ids a prompt. The limits on logits hold for an fp32 merge, the others
    for every merge; an update of zero always survives. Raises CertificateFailed naming what failed, measured
    and limit, and StorageError if the folder cannot be read back.
    """
    device = next(policy.parameters()).device
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=merged_dir.parent) as name:
        scratch = Path(name)
        base, _ = _load(base_dir, offload_folder=scratch / "base", **ON_DISK)
        merged = _read_back(merged_dir, offload_folder=scratch / "merged", **ON_DISK)
        weights = _compare_weights(policy, base, merged, limits.dtype)
        with storage_errors(scratch):
            for i, logits in enumerate(_logits(policy.float(), probe_input_ids)):
                save_file({"logits": logits}, scratch / f"{i}.safetensors")
        policy.to("meta")
        reloaded = _read_back(merged_dir).to(device)
        kept = (load_file(scratch / f"{i}.safetensors")["logits"] for i in range(len(probe_input_ids)))
        difference = _compare_logits(kept, _logits(reloaded, probe_input_ids))
    certificate: Certificate = {
        "dtype": limits.dtype,
        "num_probe_tokens": sum(len(ids) for ids in probe_input_ids),
        **difference,
        **weights,
        "limits": limits.model_dump(exclude={"dtype"}) | {"weight_error": MAX_WEIGHT_ERROR[limits.dtype]},
        "failures": [],
    }
    certificate["failures"] = _failures(certificate, limits)
    atomic_write_json(merged_dir / "certificate.json", cast(Any, certificate))
    if certificate["failures"]:
        raise CertificateFailed(f"merge certificate of {merged_dir}: {'; '.join(certificate['failures'])}")
    return certificate


def _failures(measured: Certificate, limits: MergeRecipe) -> list[str]:
    failures = []
    bound = MAX_WEIGHT_ERROR[limits.dtype]
    if measured["weight_error"] > bound:
        worst = max(measured["modules"], key=lambda module: module["weight_error"])
        failures.append(
            f"weight_error {worst['weight_error']:.3g} > {bound:g} in {worst['name']}: "
            "the folder does not hold the trained weights; merge again"
        )
    if not measured["surviving_share"] >= limits.surviving_share:
        mend = "the folder does not hold the update; merge again"
        if limits.dtype != "float32":
            mend = f"the cast to {limits.dtype} lost the update; set merge.dtype: float32"
        failures.append(f"surviving_share {measured['surviving_share']:.3g} < {limits.surviving_share:g}: {mend}")
    error = measured["orthogonality_error"]
    if error is not None and error > limits.orthogonality:
        failures.append(
            f"orthogonality {error:.3g} > {limits.orthogonality:g}: max |R^T R - I|; use an exactly "
            "orthogonal parametrisation (for OFT: use_cayley_neumann: false)"
        )
    if limits.dtype == "float32":
        if not measured["top1_agreement"] >= limits.top1_agreement:
            failures.append(f"top1_agreement {measured['top1_agreement']:.5g} < {limits.top1_agreement:g}")
        if not measured["mean_kl"] <= limits.mean_kl:
            failures.append(f"mean_kl {measured['mean_kl']:.3g} > {limits.mean_kl:g} nats a token")
    return failures


def _read_back(folder: Path, **where: Any) -> Any:
    """A model folder as an fp32 model; a weight that is missing or left over is an error."""
    try:
        model, info = _load(folder, **where)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise StorageError(
            f"{folder}: the merged model cannot be read back ({first_line(error)}); delete it and merge again"
        ) from error
    wrong = sorted(str(key) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in info[kind])
    if wrong:
        raise CertificateFailed(
            f"merge certificate of {folder}: weights missing, left over or of another shape: "
            f"{', '.join(wrong)}; merge again"
        )
    return model


def _load(folder: Path, **where: Any) -> tuple[Any, dict[str, Any]]:
    """(fp32 model, which of its weights were missing or left over)."""
    logging.getLogger("accelerate.big_modeling").setLevel(logging.ERROR)  # warns of weights left on the disk
    loaded: tuple[Any, dict[str, Any]] = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, output_loading_info=True, **where
    )
    return loaded


def _weight(model: Any, name: str) -> Tensor:
    """One weight of a model that stays on the disk, in fp32."""
    held: Tensor = model.state_dict()[name]  # on meta, but for buffers
    return cast(Tensor, load_offloaded_parameter(model, name)) if held.is_meta else held


@torch.no_grad()
def _logits(model: nn.Module, probes: Sequence[Sequence[int]]) -> Iterator[Tensor]:
    """Logits (T, V) of every probe in evaluation mode, on the CPU; one probe at a time, without padding."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    for ids in probes:
        yield model(torch.tensor([list(ids)], device=device)).logits[0].float().cpu()
    model.train(was_training)


def _compare_logits(policy: Iterator[Tensor], merged: Iterator[Tensor]) -> LogitDifference:
    largest, kl, agree, count = 0.0, 0.0, 0, 0
    for p_TV, q_TV in zip(policy, merged, strict=True):
        p, q = p_TV.double().log_softmax(-1), q_TV.double().log_softmax(-1)
        largest = max(largest, (p_TV - q_TV).abs().max().item())
        kl += (p.exp() * (p - q)).sum().item()
        picked = p.gather(-1, q.argmax(-1, keepdim=True))[:, 0]
        agree += int((picked >= p.amax(-1) - TIE_NATS).sum())
        count += len(p)
    return {"max_abs_logit_difference": largest, "mean_kl": kl / count, "top1_agreement": agree / count}


@torch.no_grad()
def _compare_weights(policy: nn.Module, base: Any, merged: Any, dtype: str) -> WeightDifference:
    """Every weight: trained W' and base W against the merged one, the latter two read from the disk one by one."""
    rotation_of = dict(rotations(policy))
    targets = _targets(policy)
    modules: list[ModuleCertificate] = []
    lost_squared, update_squared = 0.0, 0.0
    for name, trained in merged_weights(policy):
        start, written, low = _weight(base, name).to(trained), _weight(merged, name).to(trained), DTYPES[dtype]
        update = trained - start
        landed = written - start.to(low).float()
        lost, moved = _norm(landed - update), _norm(update)
        wrong = _norm(written - trained.to(low).float()) / (_norm(trained) or 1.0)
        wrong = wrong if math.isfinite(wrong) else math.inf  # overflow in float16
        if moved:
            lost_squared, update_squared = lost_squared + lost**2, update_squared + moved**2
        module = name.removesuffix(".weight")
        if not (moved or wrong or module in targets):
            continue
        rotation = rotation_of.get(module) if name.endswith(".weight") else None
        modules.append(
            {
                "name": name,
                "surviving_share": 1 - lost / moved if moved else 1.0,
                "weight_error": wrong,
                "orthogonality_error": None if rotation is None else orthogonality_error(rotation()),
                **_geometry(trained, start, module in targets),
            }
        )
    errors = [m["orthogonality_error"] for m in modules if m["orthogonality_error"] is not None]
    return {
        "surviving_share": 1 - math.sqrt(lost_squared / update_squared) if update_squared else 1.0,
        "weight_error": max((m["weight_error"] for m in modules), default=0.0),
        "orthogonality_error": max(errors, default=None),
        "modules": modules,
    }


def _targets(policy: nn.Module) -> set[str]:
    """Modules whose neurons are measured: the adapted ones; without an adapter every hidden nn.Linear."""
    adapted = {name for name, _ in tuner_layers(policy)}
    if adapted:
        return adapted
    head = plain_model(policy).get_output_embeddings()
    return {name for name, m in policy.named_modules() if isinstance(m, nn.Linear) and m is not head}


def _geometry(trained: Tensor, start: Tensor, measured: bool) -> Geometry:
    if not measured:
        return {"energy_drift": None, "max_angle_drift": None, "mean_angle_drift": None}
    energy, angles = energy_drift(trained, start), neuron_angle_drift(trained, start)
    return {
        "energy_drift": energy if math.isfinite(energy) else None,
        "max_angle_drift": angles.max,
        "mean_angle_drift": angles.mean,
    }


def _norm(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x, dtype=torch.float64))
