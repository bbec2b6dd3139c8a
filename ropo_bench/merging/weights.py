"""Weights of a merged folder against those that were trained, one by one: W before training, W' after it, in fp32."""

from __future__ import annotations

import math
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from ropo_bench.adapters import plain_model, rotations, tuner_layers
from ropo_bench.merging.merge import merged_weights
from ropo_bench.merging.read_back import read_weight
from ropo_bench.models.geometry import energy_drift, neuron_angle_drift, orthogonality_error
from ropo_bench.models.load import DTYPES


class Geometry(TypedDict):
    """What training did to the angles between neurons (radians), W' against W; None where not measured."""

    energy_drift: float | None
    max_angle_drift: float | None
    mean_angle_drift: float | None


class ModuleCertificate(Geometry):
    """One weight that trained; update = W' - W, landed = merged - cast(W), norms are Frobenius'.

    surviving_share: 1 - |landed - update| / |update|: 1 if the cast kept all of it, 0 if nothing moved, less if it
    went elsewhere. weight_error: |merged - cast(W')| / |W'|. overflow: the largest |W'| where the dtype has no number
    for it. orthogonality_error: max |R^T R - I|, None without a rotation.
    """

    name: str
    surviving_share: float
    weight_error: float | None
    overflow: float | None
    orthogonality_error: float | None


class WeightDifference(TypedDict):
    """All weights together (surviving_share, kept_update) or the worst one (the errors), and one by one.

    kept_update: <landed, update> / |update|^2, which rounding at random leaves at 1 and rounding away takes to 0.
    """

    surviving_share: float
    kept_update: float
    weight_error: float | None
    orthogonality_error: float | None
    modules: list[ModuleCertificate]


@torch.no_grad()
def compare_weights(policy: nn.Module, base: Any, merged: Any, dtype: str, growth: float = 1.0) -> WeightDifference:
    """Compare every weight of the policy with the base's and the merged folder's, read from the disk one at a time.

    base, merged: models of merging.reading that stay on the disk. growth: kept_update is that of an update so many
    times as large (a first look asks what the cast will keep in the end).
    """
    rotation_of, targets, low = dict(rotations(policy)), _targets(policy), DTYPES[dtype]
    modules: list[ModuleCertificate] = []
    lost_squared = update_squared = kept_update = 0.0
    for name, trained in merged_weights(policy):
        start, written = read_weight(base, name).to(trained), read_weight(merged, name).to(trained)
        update, cast_start = trained - start, start.to(low).float()
        lost, moved = _norm(written - cast_start - update), _norm(update)
        cast = trained.to(low).float()
        overflow = None if bool(cast.isfinite().all()) else trained.abs().max().item()
        wrong = None if overflow else _norm(written - cast) / (_norm(trained) or 1.0)
        if moved and not overflow:
            lost_squared, update_squared = lost_squared + lost**2, update_squared + moved**2
            grown = cast if growth == 1 else (start + growth * update).to(low).float()
            kept_update += _inner(grown - cast_start, update) / growth
        module = name.removesuffix(".weight")
        if not (moved or wrong or overflow or module in targets):
            continue
        rotation = rotation_of.get(module) if name.endswith(".weight") else None
        modules.append(
            {
                "name": name,
                "surviving_share": 1 - lost / moved if moved and not overflow else 1.0,
                "weight_error": wrong if wrong is None or math.isfinite(wrong) else None,
                "overflow": overflow,
                "orthogonality_error": None if rotation is None else orthogonality_error(rotation()),
                **_geometry(trained, start, module in targets),
            }
        )
    errors = [m["orthogonality_error"] for m in modules if m["orthogonality_error"] is not None]
    wrongs = [m["weight_error"] for m in modules]
    return {
        "surviving_share": 1 - math.sqrt(lost_squared / update_squared) if update_squared else 1.0,
        "kept_update": kept_update / update_squared if update_squared else 1.0,
        "weight_error": None if None in wrongs else max((w for w in wrongs if w is not None), default=0.0),
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


def _inner(a: Tensor, b: Tensor) -> float:
    return float((a.double() * b.double()).sum())
