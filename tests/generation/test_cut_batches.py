"""How prompts are cut into batches and seeded, so that a stopped run knows what it has."""

from __future__ import annotations

import random
from itertools import pairwise

from ropo_bench.generation.base import batch_seed, cut_batches
from ropo_bench.recipes.task import Decoding
from ropo_bench.types import Prompt

PROMPTS = [Prompt(str(i), ("x" * n,)) for i, n in enumerate([5, 1, 9, 1, 3])]


def test_shortest_first_in_fixed_batches() -> None:
    batches = cut_batches(PROMPTS, Decoding(max_new_tokens=1, batch_size=2))
    assert [[prompt.id for prompt, _ in batch] for batch in batches] == [["1", "3"], ["4", "0"], ["2"]]


def test_every_prompt_has_all_its_samples_once() -> None:
    batches = cut_batches(PROMPTS, Decoding(max_new_tokens=1, batch_size=4, num_samples=3))
    rows = [(prompt.id, sample) for batch in batches for prompt, sample in batch]
    assert sorted(rows) == [(str(i), sample) for i in range(5) for sample in range(3)]
    assert max(map(len, batches)) == 4
    assert rows[:3] == [("1", 0), ("1", 1), ("1", 2)]


def test_lengths_of_batches_rise() -> None:
    draw = random.Random(0)
    prompts = [Prompt(str(i), ("x" * draw.randrange(50), "y")) for i in range(40)]
    batches = cut_batches(prompts, Decoding(max_new_tokens=1, batch_size=8))
    sizes = [[len(prompt.turns[0]) for prompt, _ in batch] for batch in batches]
    assert all(max(a) <= min(b) for a, b in pairwise(sizes))


def test_seeds_of_neighbours_differ() -> None:
    seeds = {batch_seed(seed, batch) for seed in range(20) for batch in range(20)}
    assert len(seeds) == 400
    assert batch_seed(3, 4) == batch_seed(3, 4) < 2**63
