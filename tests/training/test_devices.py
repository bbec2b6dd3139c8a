"""Records dealt to several processes: each once, all as many passes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.errors import UsageError
from ropo_bench.training.team.devices import deal, mean_over_team, prefetch, team, turns

COSTS = st.lists(st.integers(1, 500), min_size=1, max_size=40)


@given(COSTS, st.integers(1, 8), st.integers(1, 7))
def test_every_record_is_dealt_once_and_all_make_as_many_passes(costs: list[int], micro: int, size: int) -> None:
    order = sorted(range(len(costs)), key=lambda i: -costs[i])
    groups = [order[i : i + micro] for i in range(0, len(order), micro)]
    hands = [deal(groups, costs, rank, size) for rank in range(size)]
    assert len({len(hand) for hand in hands}) == 1
    dealt = [i for hand in hands for turn in hand if turn.weight for i in turn.group]
    assert sorted(dealt) == list(range(len(costs)))
    assert all(turn.group and len(turn.group) <= micro for hand in hands for turn in hand)
    assert sum(not turn.weight for hand in hands for turn in hand) < size
    sums = [sum(costs[i] for turn in hand if turn.weight for i in turn.group) for hand in hands]
    largest = max(sum(costs[i] for i in group) for group in groups)
    assert max(sums) - min(sums) <= largest  # no process waits longer than for one micro-batch


def test_a_worked_deal() -> None:
    groups = [[0, 1], [2, 3], [4, 5]]  # three for two processes: the costliest is halved
    costs = [90, 80, 55, 40, 20, 10]
    assert [turn.group for turn in deal(groups, costs, 0, 2)] == [[2, 3], [4, 5]]
    assert [turn.group for turn in deal(groups, costs, 1, 2)] == [[0], [1]]
    (stand_in,) = deal([[7]], [1] * 8, 1, 2)
    assert (stand_in.group, stand_in.weight) == ([7], 0.0)


def test_one_process_keeps_the_groups_as_they_are() -> None:
    groups = [[3, 1], [2], [0, 4]]
    assert [turn.group for turn in turns(groups, [1] * 5)] == groups
    assert mean_over_team(torch.tensor([1.0, 2.0])) == 1.5


@dataclass(frozen=True)
class Batch:
    ids: tuple[str, ...]
    tokens: torch.Tensor


def test_prefetch_on_a_cpu_gives_the_same_tensors() -> None:
    batches = [Batch(("a",), torch.arange(3)), Batch((), torch.arange(2))]
    out = list(prefetch(iter(batches), torch.device("cpu")))
    assert [b.ids for b in out] == [("a",), ()]
    assert all(new.tokens is old.tokens for new, old in zip(out, batches, strict=True))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed, which is not supported; FSDP version 2"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}, "use --fsdp_version 2"),
    ],
)
def test_what_a_launcher_cannot_have_is_said(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        team()
