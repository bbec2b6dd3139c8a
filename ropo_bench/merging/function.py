"""What models compute on the probes: logits of the policy on its way into the folder, and how far they lie apart.

Six models answer the same probes, one after another, all in fp32, so that a difference comes from weights or config:
policy (as it trained), fused (its adapters merged, in memory), rounded (fused, cast to the dtype of the files),
merged (the folder, read back), base, base_rounded (cast likewise: what the other rows' baseline will be). Logits are
centred: what is added to all words of a token changes no probability. Tensor letters: N kept positions, V words.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ropo_bench.store.files import storage_errors

# Of a probe's positions so many are kept, evenly spread: a table of 128,000 words for each is half a megabyte.
KEPT_POSITIONS = 64
# Two tokens this close in log-probability are a tie: either may come out on top.
TIE_NATS = 1e-5

Probes = Sequence[Sequence[int]]


class FunctionDifference(TypedDict):
    """Policy against merged, on the probes.

    max_abs_logit_difference, mean_kl (KL(policy || merged), nats a token), top1_agreement: as they say. change_size:
    |policy - base| / |policy|, the change that training made. change_error: |merged - policy| / |policy - base|, and
    its parts: merge_error, |fused - policy| / |policy - base|; folder_error, |merged - rounded| / |rounded|; and
    kept_change, <merged - base_rounded, policy - base> / |policy - base|^2: of the change, what the cast leaves in
    the direction of training. merge_rounding: |fused - policy| / |policy|. An update of zero is kept.
    """

    max_abs_logit_difference: float
    mean_kl: float
    top1_agreement: float
    change_size: float
    change_error: float
    merge_error: float
    merge_rounding: float
    folder_error: float
    kept_change: float


class Answers:
    """The logits of several models on the same probes, kept in files of a folder until they are compared.

    same: names under which no model was asked -> the name of one that computes the same.
    """

    def __init__(self, folder: Path, probes: Probes, same: Mapping[str, str]) -> None:
        self.folder, self.probes, self.same = folder, probes, same

    @torch.no_grad()
    def keep(self, name: str, model: nn.Module) -> None:
        """Ask a model, one probe at a time and without padding, in evaluation mode."""
        device = next(model.parameters()).device
        was_training = model.training
        model.eval()
        with storage_errors(self.folder):
            for i, ids in enumerate(self.probes):
                logits = model(torch.tensor([list(ids)], device=device)).logits[0, kept_positions(len(ids))]
                save_file({"logits": logits.float().cpu()}, self.folder / f"{name}-{i}.safetensors")
        model.train(was_training)

    def read(self, name: str) -> Iterator[Tensor]:
        """Centred logits (N, V) of every probe, in fp64."""
        for i in range(len(self.probes)):
            logits = load_file(self.folder / f"{self.same.get(name, name)}-{i}.safetensors")["logits"].double()
            yield logits - logits.mean(-1, keepdim=True)


def kept_positions(length: int) -> list[int]:
    """The positions of a probe whose logits are kept, the last among them."""
    count = min(length, KEPT_POSITIONS)
    return [(length * (k + 1)) // count - 1 for k in range(count)]


def compare_functions(answers: Answers) -> FunctionDifference:
    """Everything that the logits of the six models tell; a figure is not finite where logits are not."""
    names = ("policy", "fused", "rounded", "merged", "base", "base_rounded")
    squares: defaultdict[str, float] = defaultdict(float)
    largest, kl, agree, count = 0.0, 0.0, 0, 0
    for policy, fused, rounded, merged, base, base_rounded in zip(*map(answers.read, names), strict=True):
        change = policy - base
        for name, value in {
            "policy": policy,
            "rounded": rounded,
            "change": change,
            "of merge": fused - policy,
            "of cast": merged - policy,
            "of folder": merged - rounded,
        }.items():
            squares[name] += value.square().sum().item()
        squares["kept"] += ((merged - base_rounded) * change).sum().item()
        largest = _larger(largest, (policy - merged).abs().max().item())
        p, q = policy.log_softmax(-1), merged.log_softmax(-1)
        kl += (p.exp() * (p - q)).sum().item()
        picked = p.gather(-1, q.argmax(-1, keepdim=True))[:, 0]
        agree += int((picked >= p.amax(-1) - TIE_NATS).sum())
        count += len(p)
    change_size = math.sqrt(squares["change"])

    def of_change(square: float) -> float:
        return math.sqrt(square) / change_size if change_size else 0.0

    return {
        "max_abs_logit_difference": largest,
        "mean_kl": kl / count,
        "top1_agreement": agree / count,
        "change_size": change_size / math.sqrt(squares["policy"]),
        "change_error": of_change(squares["of cast"]),
        "merge_error": of_change(squares["of merge"]),
        "merge_rounding": math.sqrt(squares["of merge"] / squares["policy"]),
        "folder_error": math.sqrt(squares["of folder"] / squares["rounded"]),
        "kept_change": squares["kept"] / squares["change"] if squares["change"] else 1.0,
    }


def _larger(a: float, b: float) -> float:
    """The larger of two numbers, or the one that is none."""
    return b if math.isnan(b) or b > a else a
