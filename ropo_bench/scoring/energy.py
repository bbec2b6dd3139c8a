"""Geometry of every linear module, merged against base: drift of hyperspherical energy and of neuron angles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropo_bench.errors import StorageError
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.store.bounded import read_shards
from ropo_bench.types import Score
from ropo_bench.types.engines import Subject

if TYPE_CHECKING:
    from torch import Tensor

METRICS = ("energy_drift", "angle_drift", "angle_drift_max")
# A weight inside a numbered block: neither embeddings nor head.
_IN_A_BLOCK = re.compile(r"\.\d+\.(.+)\.weight$")


def score(task: TaskRecipe, subject: Subject) -> list[Score]:
    """`energy_drift` (HE/HE_base - 1); `angle_drift`, `angle_drift_max` (radians; mean, largest over pairs).

    An item is a linear module in a block of the base model. The base is cast to the model's dtype first; a module
    that then equals it bit for bit has drift 0. Weights are read one module at a time; no model is built. A module
    that the model lacks, or has in another shape, is unscored. Raises StorageError for a folder without readable
    safetensors.
    """
    scores: list[Score] = []
    with ExitStack() as stack:
        base, model = _open(subject.base_folder, stack), _open(subject.folder, stack)
        for name in sorted(base):
            match = _IN_A_BLOCK.search(name)
            reference: Tensor | None = base[name].get_tensor(name) if match else None
            if match and reference is not None and reference.ndim == 2:
                weight = model[name].get_tensor(name) if name in model else None
                scores += _module_scores(name.removesuffix(".weight"), match[1], weight, reference)
    return scores


def _module_scores(item: str, module: str, weight: Tensor | None, reference: Tensor) -> Sequence[Score]:
    from ropo_bench.models.drift import neuron_drift

    detail = {"module": module}
    if weight is None or weight.shape != reference.shape:
        return [Score(item, item, metric, None, "infrastructure-failed", detail) for metric in METRICS]
    # Against the base as this dtype holds it: what the cast alone moved, the row's baseline moved too.
    drift = neuron_drift(weight.to(_device()), reference.to(weight.dtype))
    values = (drift.energy, drift.mean_angle, drift.max_angle)
    return [
        Score(item, item, metric, value, detail=detail)
        if isfinite(value)  # two parallel neurons have infinite energy, whose drift is no number
        else Score(item, item, metric, None, "unparsable", detail)
        for metric, value in zip(METRICS, values, strict=True)
    ]


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _open(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """Tensor name -> the open file that holds it; files close with the stack."""
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    try:
        names = ["model.safetensors"]
        if index.is_file():
            names = read_shards(index)
        files = [stack.enter_context(safe_open(folder / name, framework="pt")) for name in names]
        return {key: file for file in files for key in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise StorageError(f"{folder}: its safetensors cannot be read ({error}); make the model again") from error
