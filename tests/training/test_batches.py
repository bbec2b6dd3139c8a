"""Batches: every pair as often as asked, by the seed and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.training.batches import micro_batches, num_steps, step_indices


@given(st.integers(1, 50), st.integers(1, 16), st.floats(0.3, 3.0), st.integers(0, 3))
def test_every_pair_is_seen_epochs_times(num_pairs: int, batch_size: int, epochs: float, seed: int) -> None:
    steps = num_steps(num_pairs, batch_size, epochs, None)
    seen = [i for step in range(steps) for i in step_indices(num_pairs, batch_size, epochs, seed, step)]
    assert len(seen) == round(epochs * num_pairs)
    counts = [seen.count(i) for i in range(num_pairs)]
    assert max(counts) - min(counts) <= 1


def test_batches_depend_on_the_seed_and_nothing_else() -> None:
    first = [step_indices(10, 4, 2.0, 7, step) for step in range(5)]
    assert first == [step_indices(10, 4, 2.0, 7, step) for step in range(5)]
    assert first != [step_indices(10, 4, 2.0, 8, step) for step in range(5)]
    assert sorted(first[0] + first[1] + first[2][:2]) == list(range(10))


def test_micro_batches_group_by_length_and_keep_the_set() -> None:
    groups = micro_batches([3, 1, 0, 2], [5, 9, 1, 7], 2)
    assert groups == [[1, 3], [0, 2]]


def test_a_budget_of_tokens_closes_a_group_and_a_longer_item_goes_alone() -> None:
    assert micro_batches([0, 1, 2, 3, 4], [4, 3, 9, 2, 1], 8, budget=7) == [[2], [0, 1], [3, 4]]
    assert micro_batches([0, 1, 2, 3, 4], [4, 3, 9, 2, 1], 2, budget=100) == [[2, 0], [1, 3], [4]]
