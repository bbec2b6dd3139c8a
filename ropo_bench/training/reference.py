"""Reference log-probabilities: data, not a model. Computed once for a base, pairs, template and lengths."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from ropo_bench.errors import MethodFailed
from ropo_bench.models.load import load_model, load_tokenizer
from ropo_bench.recipes.method import TrainRecipe
from ropo_bench.store import JsonLines, atomic_write_text
from ropo_bench.training.batches import micro_batches
from ropo_bench.training.core.logprobs import collate, completion_logps
from ropo_bench.training.core.own_forward import check_logps
from ropo_bench.training.core.packing import pass_tokens
from ropo_bench.training.core.precision import settle_frozen
from ropo_bench.training.core.switches import switched
from ropo_bench.training.team.devices import team, wait, written_once
from ropo_bench.training.team.job import LOGPS, Job
from ropo_bench.training.tokens import tokenize_job
from ropo_bench.types import TokenizedPair

Reference = Mapping[str, tuple[float, float]]


def compute_reference(
    model: nn.Module,
    pairs: Sequence[TokenizedPair],
    pad_id: int,
    train: TrainRecipe,
    path: Path,
    on_batch: Callable[[int, int], None],
    share: tuple[int, int] = (0, 1),
    into: Path | None = None,
) -> None:
    """Append {"id", "chosen", "rejected"} of every pair to the JSONL file at path, longest pairs first.

    Pairs already in the file are not computed again. Forward passes are those of the training: its dtype, its core
    and its budget of tokens. on_batch(pairs done, tokens of the batch). share: (process, processes); with more than
    one each takes its part of the batches and appends to a file of its own, `into`. Raises MethodFailed for a
    log-probability that is no number.
    """
    stored = {record["id"] for record in JsonLines(path)}
    lines = JsonLines(into or path)
    lengths = [pass_tokens(pair, train.core) for pair in pairs]
    device = next(model.parameters()).device
    model.eval()
    done = 0
    # Groups are those of all pairs, known or not: a pass that goes on gives the bits of one that was never stopped.
    groups = micro_batches(range(len(pairs)), lengths, train.micro_batch_size, train.micro_batch_tokens)
    with switched(model, train.core), torch.no_grad():
        for number, indices in enumerate(groups):
            group = [pairs[i] for i in indices]
            done += len(group)
            if number % share[1] != share[0] or all(pair.id in stored for pair in group):
                continue
            batch = collate(model, group, train.core, pad_id)
            with torch.autocast(device.type, torch.bfloat16, train.dtype == "bfloat16"):
                logps = completion_logps(model, batch.to(device), train.core.fused_head).tolist()
            if not all(map(math.isfinite, logps)):
                raise MethodFailed(
                    f"reference: a log-probability of {group[0].id} or of a pair beside it is not finite, and no loss"
                    " could be; give another base, or set train.dtype: float32"
                )
            for pair, chosen, rejected in zip(group, logps[: len(group)], logps[len(group) :], strict=True):
                if pair.id not in stored:
                    lines.append({"id": pair.id, "chosen": chosen, "rejected": rejected})
            on_batch(done, batch.num_tokens)


def read_reference(path: Path) -> Reference:
    """Log-probabilities (chosen, rejected) by pair id."""
    return {record["id"]: (record["chosen"], record["rejected"]) for record in JsonLines(path)}


def make_reference(job: Job, on_batch: Callable[[int, int], None]) -> None:
    """Write folder/logps.jsonl; what earlier attempts computed, with any number of processes, is not repeated.

    Every process holds the whole base model and computes a share of the pairs into a file of its own; the first one
    joins them.
    """
    own = team()
    written_once(lambda: join_parts(job.folder))
    tokenizer = load_tokenizer(job.base)
    base = load_model(job.base, "float32").requires_grad_(False)
    pairs = tokenize_job(job, tokenizer).pairs
    check_logps(base, pairs, job.train.core, tokenizer.pad_token_id)
    if job.train.dtype == "bfloat16":
        settle_frozen(base, torch.bfloat16)
    compute_reference(
        base,
        pairs,
        tokenizer.pad_token_id,
        job.train,
        job.folder / LOGPS,
        (lambda done, tokens: on_batch(done, tokens * own.size)) if own.writes else (lambda done, tokens: None),
        share=(own.rank, own.size),
        into=job.folder / (LOGPS if own.size == 1 else f"part-{own.rank}.jsonl"),
    )
    wait()  # all parts are there
    written_once(lambda: join_parts(job.folder))


def join_parts(folder: Path) -> None:
    """Move the lines of all parts into logps.jsonl, each pair once."""
    parts = sorted(folder.glob("part-*.jsonl"))
    if not parts:
        return
    lines = {record["id"]: record for path in [folder / LOGPS, *parts] for record in JsonLines(path)}
    atomic_write_text(folder / LOGPS, "".join(json.dumps(line) + "\n" for line in lines.values()))
    for path in parts:
        path.unlink()
