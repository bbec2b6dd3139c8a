"""Which causal families go the whole way, and is every number theirs? python -m benchmarks.families [NAME ...]

For each family a tiny random model (benchmarks/tiny_families.py): one step of DPO, of all weights and of LoRA, merged
with its certificate, asked and scored through the pipeline. Then, of the merged model: log-probabilities of the
training core and of the scoring engine against whole forward passes, and greedy answers, alone and in a batch,
against decoding without a cache. Prints one Markdown row a family.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.tiny_families import FAMILIES, write_family
from ropo_bench.errors import RopoBenchError, first_line
from ropo_bench.generation.hf import decode, pad_left
from ropo_bench.generation.hf_engine import HFEngine
from ropo_bench.pipeline import run
from ropo_bench.recipes.method import CoreRecipe
from ropo_bench.recipes.task import Decoding
from ropo_bench.request import Asked, resolve
from ropo_bench.store import JsonLines, Store
from ropo_bench.terminal.progress import Progress
from ropo_bench.training.core.logprobs import collate, completion_logps
from ropo_bench.types import TokenizedPair

ROWS = ([1, 50, 90, 120, 33, 70, 80, 41, 50, 30, 77, 12, 13, 14], [1, 44, 60], [1, 20, 21, 22, 23, 24, 25])
PAIRS = (
    TokenizedPair("a", (1, 55, 66, 77, 99, 140), (88, 99, 5), (110, 111, 112, 5)),
    TokenizedPair("b", (1, 20), (21, 5), (5,)),
)
NEW_TOKENS, STOP = 12, 5
ATTENTION = "[q_proj, k_proj, v_proj, o_proj]"
TARGETS = {
    "Qwen3-MoE": ATTENTION,
    "OLMoE": ATTENTION,
    "Mixtral": ATTENTION,
    "Mamba": "[in_proj, x_proj]",
    "Mamba 2": "[in_proj]",
    "Falcon-H1": "[q_proj, v_proj, in_proj]",
    "Llama 4": ATTENTION,
    "Qwen3-Next": ATTENTION,
    "DeepSeek-V3": "[q_a_proj, q_b_proj, o_proj]",
}
"""Of LoRA where not every linear layer can be adapted: fused experts, routers that give two tensors, layers that
Mamba's fast path passes by."""
MAX_ERROR = 1e-4


def grade_turns(_prompt: Any, turns: Sequence[str]) -> list[float]:
    """The more different characters, the better."""
    return [1.0 + min(9.0, len(set(turn)) / 4) for turn in turns]


@dataclass(frozen=True)
class Finding:
    """What came of one family. Errors in nats; None where the family was refused, with the line that said so."""

    family: str
    first_loss: float | None = None
    core_error: float | None = None
    scoring_error: float | None = None
    greedy: str | None = None
    refusal: str | None = None

    @property
    def right(self) -> bool:
        """Whether every number is the model's own."""
        errors = (self.core_error, self.scoring_error)
        return (
            self.first_loss is not None
            and abs(self.first_loss - math.log(2)) < MAX_ERROR
            and all(error is not None and error < MAX_ERROR for error in errors)
            and self.greedy == "equal"
        )

    def row(self) -> str:
        """As a row of the table."""
        if self.refusal is not None:
            return f"| {self.family} | refused | | | | {self.refusal} |"
        cells = (f"{self.first_loss:.6f}", f"{self.core_error:.0e}", f"{self.scoring_error:.0e}", self.greedy)
        return f"| {self.family} | {'right' if self.right else 'WRONG'} | {' | '.join(map(str, cells))} |"


def examine(family: str, folder: Path) -> Finding:
    """Take a family the whole way in an empty folder, then compare."""
    write_family(family, folder / "base")
    write_suite(folder, folder / "base")
    targets = TARGETS.get(family, "all-linear")
    sets = [f"lora-dpo.adapter.target_modules={targets}", "lora-dpo.adapter.options.r=2"]
    try:
        request = resolve(Asked("dpo,lora-dpo", "tiny", include=[folder], sets=sets))
        store = Store(folder / "runs")
        with Path(os.devnull).open("w") as quiet, Progress(quiet) as progress:
            record = run(request, store, "families", progress)
    except RopoBenchError as error:
        return Finding(family, refusal=first_line(error))
    failed = [row.state for row in record.rows if row.state != "done"]
    if failed:
        return Finding(family, refusal=failed[0])
    losses = [next(iter(JsonLines(path)))["loss"] for path in (folder / "runs").glob("cache/policy/*/train.jsonl")]
    merged = sorted((folder / "runs").glob("cache/merged/*/model"))
    findings = [compare(path) for path in merged]
    return Finding(
        family,
        max(losses, key=lambda loss: abs(loss - math.log(2))),
        max(core for core, _, _ in findings),
        max(scoring for _, scoring, _ in findings),
        next((greedy for _, _, greedy in findings if greedy != "equal"), "equal"),
    )


def compare(folder: Path) -> tuple[float, float, str]:
    """Of a merged model: the core's error, the scoring engine's, and whether greedy answers are equal."""
    engine = HFEngine(folder, "float32")
    model = engine.model
    with torch.inference_mode():
        sequences = [(p.prompt_ids, p.chosen_ids) for p in PAIRS] + [(p.prompt_ids, p.rejected_ids) for p in PAIRS]
        own = [whole_logps(model, prompt, completion) for prompt, completion in sequences]
        core = completion_logps(model, collate(model, PAIRS, CoreRecipe(), 0), True).tolist()
        scored = [logp for logp, _ in engine.loglikelihoods([(list(p), list(c)) for p, c in sequences])]
        wanted = [without_cache(model, row) for row in ROWS]
        greedy = Decoding(max_new_tokens=NEW_TOKENS, temperature=0)
        told = "equal"
        for name, batches in (("alone", [[row] for row in ROWS]), ("batch", [list(ROWS)])):
            given = [
                ids
                for rows in batches
                for ids in decode(
                    model,
                    *pad_left(rows, model.device),
                    greedy,
                    stop_ids=frozenset([STOP]),
                    random=torch.Generator(),
                )
            ]
            if given != wanted:
                told = f"differs {name}"
    return worst(own, core), worst(own, scored), told


@torch.no_grad()
def whole_logps(model: Any, prompt: Sequence[int], completion: Sequence[int]) -> float:
    """Summed log-probability of a completion by one forward pass of its sequence alone."""
    ids_T = torch.tensor([*prompt, *completion])
    logps_TV = model(input_ids=ids_T[None], use_cache=False).logits[0].float().log_softmax(-1)
    return float(logps_TV[len(prompt) - 1 : -1].gather(1, ids_T[len(prompt) :, None]).sum())


def without_cache(model: Any, row: Sequence[int]) -> list[int]:
    """Greedy new tokens, each by a whole forward pass."""
    ids = list(row)
    while len(ids) < len(row) + NEW_TOKENS and (len(ids) == len(row) or ids[-1] != STOP):
        ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(row) :]


def worst(first: Sequence[float], second: Sequence[float]) -> float:
    """Largest difference; infinite where there is a NaN."""
    return max(math.inf if math.isnan(a - b) else abs(a - b) for a, b in zip(first, second, strict=True))


def write_suite(folder: Path, base: Path) -> None:
    """A suite `tiny`: twelve pairs, four prompts, one optimizer step."""
    for kind in ("suites", "tasks"):
        (folder / kind).mkdir(parents=True)
    pairs = [
        {"prompt": f"say {i}", "chosen": "yes " * (i % 4 + 1), "rejected": "no " * (i % 3 + 1)} for i in range(12)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    prompts = [{"id": f"p{i}", "turns": [f"question {i}?"]} for i in range(4)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    (folder / "tasks" / "tiny-arena.yaml").write_text(
        f"description: four prompts\nprompts: {folder / 'prompts.jsonl'}\n"
        "decoding: {max_new_tokens: 12, temperature: 1.0, batch_size: 4}\nscorer: arena\n"
        'options: {grader: "benchmarks.families:grade_turns"}\n'
        "columns:\n  - {metric: win_rate, header: WR, decimals: 1}\n"
        "  - {metric: length, header: tokens, decimals: 1, better: none}\n"
    )
    (folder / "suites" / "tiny.yaml").write_text(
        f"description: a tiny suite\nbase: {base}\ndata: {folder / 'pairs.jsonl'}\nvalidation: tiny-arena\n"
        "tasks: [tiny-arena]\nbackend: hf\ntrain: {lr: 1e-3, batch_size: 12, micro_batch_size: 4, epochs: 1,"
        " max_length: 64, max_prompt_length: 40}\n"
    )


def main() -> None:
    """Print the table; exits 1 where a family is neither right nor refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    wrong = False
    print(
        "| family | | first loss | core, nats | scoring, nats | greedy text |\n|---|---|---|---|---|---|", flush=True
    )
    for family in parser.parse_args().families:
        with tempfile.TemporaryDirectory() as folder:
            finding = examine(family, Path(folder))
        print(finding.row(), flush=True)
        wrong |= not (finding.right or finding.refusal)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
