"""The same training with every switch of the core on and off, on the embedded testbed: how far apart do they end?

python -m benchmarks.switches [--methods ropo,dpo] [--steps 50] [--json]

Both sides train the pocket suite's base on its pairs in fp32 from one seed, without dropout. The loss and gradients
of step 1 are compared relative to the plain side's; then both policies' log-probabilities of the same pairs by the
plain core, in nats a token.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from benchmarks._results import table
from ropo_bench.adapters import attach
from ropo_bench.models.load import load_model, load_tokenizer
from ropo_bench.preferences import tokenize_pairs
from ropo_bench.preferences.read import read_pairs
from ropo_bench.recipes.load import load_methods, load_suite
from ropo_bench.recipes.method import CoreRecipe, MethodRecipe
from ropo_bench.runs.provenance import provenance
from ropo_bench.sources.models import model_folder
from ropo_bench.sources.pairs import data_source
from ropo_bench.training.loop import fit
from ropo_bench.training.preference import PreferenceObjective
from ropo_bench.training.reference import compute_reference, read_reference
from ropo_bench.types import TokenizedPair

ON, OFF = CoreRecipe(), CoreRecipe(**dict.fromkeys(CoreRecipe.model_fields, False))
NUM_PROBES = 128
BARS = {"loss": 1e-5, "gradients": 1e-5, "logps": 1e-3}


@dataclass(frozen=True, slots=True)
class Difference:
    """loss, gradients: of step 1, relative; mean_logps, logps: after all steps, nats a token, mean and largest."""

    method: str
    loss: float
    gradients: float
    mean_logps: float
    logps: float


def trained(
    method: MethodRecipe, core: CoreRecipe, pairs: Sequence[TokenizedPair], steps: int
) -> tuple[float, Tensor, Tensor]:
    """Loss and gradients (clipped) of step 1, and log-probabilities a token (2 * NUM_PROBES,) after all steps."""
    folder = model_folder("pocket:sft")
    base, pad_id = load_model(folder, "float32"), load_tokenizer(folder).pad_token_id
    train = method.train.model_copy(update={"core": core, "max_steps": steps, "dtype": "float32"})
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        compute_reference(base, pairs, pad_id, train, here / "reference.jsonl", _silent)
        reference = read_reference(here / "reference.jsonl")
        torch.manual_seed(0)  # LoRA's first matrix is random
        policy = attach(base, method.adapter)
        objective = PreferenceObjective(pairs, reference, method.loss, train, 0, pad_id)
        with first_gradients() as gradients:
            fit(policy, objective, train, 0, here, _silent)
        loss = json.loads((here / "train.jsonl").read_text().splitlines()[0])["loss"]
        probes = pairs[:NUM_PROBES]
        plain = train.model_copy(update={"core": OFF})
        compute_reference(policy, probes, pad_id, plain, here / "logps.jsonl", _silent)
        logps = read_reference(here / "logps.jsonl")
    a_token = [
        value / len(ids)
        for pair in probes
        for value, ids in zip(logps[pair.id], (pair.chosen_ids, pair.rejected_ids), strict=True)
    ]
    return loss, gradients[0], torch.tensor(a_token, dtype=torch.float64)


@contextlib.contextmanager
def first_gradients() -> Iterator[list[Tensor]]:
    """All gradients as one vector, kept just before the first optimizer step."""
    kept: list[Tensor] = []

    def keep(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if not kept:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            kept.append(torch.cat([p.grad.double().flatten() for p in parameters]))

    hook = register_optimizer_step_pre_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()


def difference(method: MethodRecipe, pairs: Sequence[TokenizedPair], steps: int) -> Difference:
    """Train twice and compare."""
    (loss, gradients, logps), (loss_0, gradients_0, logps_0) = (
        trained(method, core, pairs, steps) for core in (ON, OFF)
    )
    return Difference(
        method.name,
        abs(loss - loss_0) / abs(loss_0),
        float((gradients - gradients_0).norm() / gradients_0.norm()),
        float((logps - logps_0).abs().mean()),
        float((logps - logps_0).abs().max()),
    )


def _silent(done: int, tokens: int) -> None:
    """No progress is shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the differences; 1 if one is over its bar."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--methods", default="ropo,lora-dpo,oft,dpo", help="names, comma-separated, or: all")
    options.add_argument("--steps", type=int, default=50)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args(arguments)
    suite = load_suite("pocket")
    # Dropout draws a mask for each number of a batch, and packed batches have others: it has no same numbers to show.
    drops = chosen.methods == "all" or "lora-dpo" in chosen.methods.split(",")
    sets = ["lora-dpo.adapter.options.lora_dropout=0"] if drops else []
    methods = load_methods(chosen.methods, suite=suite, sets=sets)
    train, tokenizer = methods[0].train, load_tokenizer(model_folder(suite.base))
    read = read_pairs(data_source(suite.data)).pairs
    pairs = tokenize_pairs(read, tokenizer, train.max_length, train.max_prompt_length).pairs
    found = [difference(method, pairs, chosen.steps) for method in methods]
    if chosen.json:
        print(json.dumps({"steps": chosen.steps, "rows": [asdict(row) for row in found], "made_with": provenance()}))
    else:
        headers = ["method", "loss, step 1", "gradients, step 1", "nats a token, mean", "nats a token, largest"]
        print(table(headers, [[v if isinstance(v, str) else f"{v:.1e}" for v in asdict(r).values()] for r in found]))
    return int(any(getattr(row, name) > bar for row in found for name, bar in BARS.items()))


if __name__ == "__main__":
    sys.exit(main())
