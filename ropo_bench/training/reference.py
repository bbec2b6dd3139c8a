"""Reference log-probabilities: data, not a model. Computed once for a base, pairs, template and lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from ropo_bench.runs import JsonLines
from ropo_bench.training.batches import collate, pair_length
from ropo_bench.training.logprobs import completion_logps
from ropo_bench.types import TokenizedPair

Reference = Mapping[str, tuple[float, float]]


def compute_reference(
    model: nn.Module,
    pairs: Sequence[TokenizedPair],
    pad_id: int,
    batch_size: int,
    dtype: str,
    path: Path,
    on_batch: Callable[[int, int], None],
) -> None:
    """Append {"id", "chosen", "rejected"} of every pair to the JSONL file at path, longest pairs first.

    Pairs already in the file are not computed again. dtype: of the matrix products, as in training.
    on_batch(pairs done, tokens of the batch).
    """
    lines = JsonLines(path)
    known = {record["id"] for record in lines}
    ordered = sorted(pairs, key=lambda pair: (-pair_length(pair), pair.id))
    device = next(model.parameters()).device
    model.eval()
    for start in range(0, len(ordered), batch_size):
        group = ordered[start : start + batch_size]
        if all(pair.id in known for pair in group):
            continue
        batch = collate(group, pad_id).to(device)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, dtype == "bfloat16"):
            logps = completion_logps(model, batch).tolist()
        chosen, rejected = logps[: len(group)], logps[len(group) :]
        for pair, c, r in zip(group, chosen, rejected, strict=True):
            if pair.id not in known:
                lines.append({"id": pair.id, "chosen": c, "rejected": r})
        on_batch(start + len(group), batch.input_NT.numel())


def read_reference(path: Path) -> Reference:
    """Log-probabilities (chosen, rejected) by pair id."""
    return {record["id"]: (record["chosen"], record["rejected"]) for record in JsonLines(path)}
