"""What training did: the logs of every policy, and the drift of every module's neurons."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from ropo_bench.report.data import Drift, Trajectory
from ropo_bench.report.trained import Shelf, Trained
from ropo_bench.store import JsonLines

_STEP = "step"
_IN_A_LAYER = re.compile(r"\.(\d+)\.(.+)$")
_ENERGY = "energy"  # the scorer; its metrics are named as the fields of Drift
_OF_CERTIFICATE = {
    "energy_drift": "energy_drift",
    "angle_drift": "mean_angle_drift",
    "angle_drift_max": "max_angle_drift",
}
Geometry = Mapping[str, float | None]


def trajectories(shelf: Shelf) -> list[Trajectory]:
    """The log of every finished training; of a name only if every step has it."""
    found = []
    for model in shelf:
        stage = shelf.policy(model)
        records = [] if stage is None else list(JsonLines(stage.file("train.jsonl")))
        if not records:
            continue
        names = [name for name in records[0] if name != _STEP and all(name in record for record in records)]
        values = {name: tuple(float(record[name]) for record in records) for name in names}
        found.append(Trajectory(model.row, model.seed, tuple(int(record[_STEP]) for record in records), values))
    return found


def drifts(shelf: Shelf) -> list[Drift]:
    """Drift by row, layer and module, over the seeds that were measured; in the order of the base's layers.

    From the task `energy` where the run has it, else from the merge certificates, which know the trained modules
    only. The SFT model, which is the base, is left out.
    """
    found = []
    for row, models in shelf.models.items():
        if row == shelf.reference:
            continue
        by_module: dict[tuple[int, str], list[Geometry]] = defaultdict(list)
        for model in models:
            for name, geometry in _geometry(shelf, model).items():
                place = _IN_A_LAYER.search(name)
                if place is not None and any(value is not None for value in geometry.values()):
                    by_module[int(place[1]), place[2]].append(geometry)
        for (layer, module), seeds in sorted(by_module.items()):
            energy, angle = (_mean(_sizes(seeds, name)) for name in ("energy_drift", "angle_drift"))
            largest = max(_sizes(seeds, "angle_drift_max"), default=None)
            found.append(Drift(row, layer, module, energy, angle, largest))
    return found


def _geometry(shelf: Shelf, model: Trained) -> Mapping[str, Geometry]:
    """Module -> its drifts, for one model."""
    for task in shelf.tasks:
        scores = shelf.scores(model, task) if task.scorer == _ENERGY else None
        if scores is not None:
            measured: dict[str, dict[str, float | None]] = defaultdict(dict)
            for score in scores:
                measured[score.item][score.metric] = score.value
            return measured
    modules = (model.record.certificate or {}).get("modules", ())
    return {
        module["name"].removesuffix(".weight"): {ours: module[theirs] for ours, theirs in _OF_CERTIFICATE.items()}
        for module in modules
    }


def _sizes(seeds: Sequence[Geometry], name: str) -> list[float]:
    return [abs(value) for one in seeds if (value := one.get(name)) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
