"""Drift of neurons by fp32 products and by fp64: python -m benchmarks.drift [--rounds N] [--json]

The pocket model with every linear module moved (a row of dpo), with q and v moved (a row of adapters), and one layer
of a 135 M model: energy and angles as models.geometry computes them in fp64, and as models.drift does, in turns in
one process. Error: the worst module's, of the energy as a share of the energy, of the largest and mean change of an
angle as a share of that change. More than a quarter of the time for the whole pocket model, or an error over 1e-9,
1e-5 or 1e-6, is exit code 1.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks._results import table
from ropo_bench.models.drift import Drift, neuron_drift
from ropo_bench.models.geometry import energy_drift, neuron_angle_drift
from ropo_bench.runs.provenance import provenance
from ropo_bench.sources.shipped import POCKET_ASSETS

BAR = 0.25
MAX_ERROR = Drift(1e-9, 1e-5, 1e-6)
Modules = Sequence[tuple[Tensor, Tensor]]


def in_fp64(weight: Tensor, reference: Tensor) -> Drift:
    """As it was computed before: zero by comparison, or energy and angles one after the other."""
    if weight.equal(reference.to(weight.dtype)):
        return Drift(0.0, 0.0, 0.0)
    angles = neuron_angle_drift(weight, reference)
    return Drift(energy_drift(weight, reference), angles.max, angles.mean)


def pocket(pattern: str) -> Modules:
    """(moved, base) of every linear module of the pocket model; those whose name has the pattern are moved."""
    draw = torch.Generator().manual_seed(0)
    modules = []
    for name, held in load_file(POCKET_ASSETS / "sft" / "model.safetensors").items():
        if re.search(r"\.\d+\..*proj\.weight$", name):
            base = held.float()
            moved = base + 1e-3 * base.std() * torch.randn(base.shape, generator=draw)
            modules.append((moved if re.search(pattern, name) else base.clone(), base))
    return modules


def layer(num_neurons: int, num_inputs: int) -> Modules:
    """One module, random."""
    base = 0.02 * torch.randn(num_neurons, num_inputs, generator=torch.Generator().manual_seed(1))
    return [(base + 2e-5 * torch.randn(base.shape, generator=torch.Generator().manual_seed(2)), base)]


def errors(ours: Drift, exact: Drift) -> Drift:
    """Difference of the energies as a share of it, of the angles' changes as shares of these."""
    largest, mean = (abs(a - b) / (b or 1.0) for a, b in zip(ours[1:], exact[1:], strict=True))
    return Drift(abs(ours.energy - exact.energy), largest, mean)


def main() -> int:
    """Measure, print, and say whether the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    work = {"pocket, all": pocket(""), "pocket, q and v": pocket("[qv]_proj"), "1536 x 576": layer(1536, 576)}
    records = []
    for name, modules in work.items():
        seconds: dict[str, list[float]] = {"fp64": [], "fp32": []}
        drifts: dict[str, list[Drift]] = {}
        for _ in range(options.rounds):
            for way, compute in (("fp64", in_fp64), ("fp32", neuron_drift)):
                begin = time.perf_counter()
                drifts[way] = [compute(*module) for module in modules]
                seconds[way].append(time.perf_counter() - begin)
        pairs = [errors(a, b) for a, b in zip(drifts["fp32"], drifts["fp64"], strict=True)]
        worst = Drift(*(max(values) for values in zip(*pairs, strict=True)))
        ratio = statistics.median(a / b for a, b in zip(seconds["fp32"], seconds["fp64"], strict=True))
        records.append({"work": name, "seconds": seconds, "ratio": ratio, "error": worst._asdict()})
    passed = records[0]["ratio"] <= BAR and all(
        record["error"][name] <= limit for record in records for name, limit in MAX_ERROR._asdict().items()
    )
    if options.json:
        print(json.dumps({"measured": records, "passed": passed, "provenance": provenance()}, default=str))
    else:
        cells = [
            [
                record["work"],
                *(f"{1000 * statistics.median(record['seconds'][way]):.0f}" for way in ("fp64", "fp32")),
                f"{record['ratio']:.2f}",
                *(f"{error:.0e}" for error in record["error"].values()),
            ]
            for record in records
        ]
        headers = [
            "",
            "fp64, ms",
            "fp32, ms",
            "ratio",
            "error of energy",
            "of the largest angle",
            "of the mean angle",
        ]
        print(table(headers, cells))
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
