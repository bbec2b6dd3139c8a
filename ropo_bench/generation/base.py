"""What every generation backend offers, and how prompts are cut into batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from ropo_bench.tasks import Decoding
from ropo_bench.types import Completion, Prompt

Batch = list[tuple[Prompt, int]]


class Generator(Protocol):
    """A backend: prompts in, completions out, batch by batch."""

    def generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, skip_batches: int = 0
    ) -> Iterator[list[Completion]]:
        """Completions of one batch after the other, from batch skip_batches on, each in the batch's order."""
        ...


def cut_batches(prompts: Sequence[Prompt], decoding: Decoding) -> list[Batch]:
    """(prompt, sample) pairs in batches of decoding.batch_size, shortest prompts first.

    A pure function of its arguments, so that a stopped run knows which batches it already has. Prompts of
    like length share a batch (little padding); equal lengths keep their order; a prompt's samples touch.
    """
    ordered = sorted(prompts, key=lambda prompt: sum(map(len, prompt.turns)))
    rows = [(prompt, sample) for prompt in ordered for sample in range(decoding.num_samples)]
    return [rows[i : i + decoding.batch_size] for i in range(0, len(rows), decoding.batch_size)]


def batch_seed(seed: int, batch: int) -> int:
    """Seed of one batch, below 2^63: hashed, so that neighbouring runs and batches share no random stream."""
    digest = hashlib.sha256(f"{seed}:{batch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
