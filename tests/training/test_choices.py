"""Continuations of one context in one row: each gets what a forward pass of its own would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ropo_bench.generation.hf_engine import loglikelihoods
from ropo_bench.training.core import choices
from ropo_bench.training.core.choices import choice_logps
from ropo_bench.training.core.packing import Choice, Segment, pack_choices
from tests.training.test_packing import CONFIGS, model_of

ROOM = 64
Request = tuple[Sequence[int], Sequence[int]]


def close(model: Any, requests: Sequence[Request], room: int = ROOM) -> None:
    expected = loglikelihoods(model, requests, room)
    scores = choice_logps(model, requests, room)
    assert scores is not None
    assert [logp for logp, _ in scores] == pytest.approx([logp for logp, _ in expected], abs=1e-4)
    assert [greedy for _, greedy in scores] == [greedy for _, greedy in expected]


REQUESTS: list[Request] = [
    *(([1, 2, 3, 4, 5], answer) for answer in ([6], [7], [8, 9, 10], [8, 9, 11, 12], [8])),  # one begins as another
    ([9, 8, 7, 6, 5, 4, 3], [1, 2]),
    ([9, 8, 7, 6, 5, 4, 2], [1, 2]),  # as in WinoGrande: contexts differ, the continuation does not
    ([3], [3]),
    ([3], [3]),  # twice the same
]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_choice_has_its_own_forward_pass(name: str) -> None:
    close(model_of(CONFIGS[name]), REQUESTS)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(1, 4), min_size=1, max_size=9), st.lists(st.integers(1, 4), min_size=1, max_size=5)
        ),
        min_size=1,
        max_size=9,
    ),
    st.integers(6, 20),
)
def test_any_requests_cut_where_the_context_is_too_short(requests: list[Request], room: int) -> None:
    close(model_of(CONFIGS["llama"]), requests, room)


def test_many_short_rows_are_one_long_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(choices.ROW_TOKENS, "cpu", 8)
    close(model_of(CONFIGS["llama"]), REQUESTS)


def test_what_is_shared_is_in_the_row_once() -> None:
    group = [Choice((1, 2, 3, 4), 1), Choice((1, 2, 3, 5), 1), Choice((1, 2, 6, 7, 8), 3)]
    batch = pack_choices([group, [Choice((9, 9), 1)]])
    assert batch.input_RT.tolist() == [[1, 2, 3, 6, 7, 9]]  # the first two read the same; nobody reads a last token
    assert batch.position_RT.tolist() == [[0, 1, 2, 2, 3, 0]]
    assert batch.segments == (Segment(2, (1, 2)), Segment(1, (0,)))
    scored = zip(batch.source_C.tolist(), batch.target_C.tolist(), batch.sequence_C.tolist(), strict=True)
    assert list(scored) == [(2, 4, 0), (2, 5, 1), (1, 6, 2), (3, 7, 2), (4, 8, 2), (5, 9, 3)]


def test_a_model_that_cannot_be_packed_is_left_to_its_own_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(CONFIGS["llama"])
    before = model.config._attn_implementation
    monkeypatch.setattr(choices, "_row_scores", lambda _, groups: iter([(0.0, True)] * sum(map(len, groups))))
    assert choice_logps(model, REQUESTS, ROOM) is None  # its rows give something else
    assert model.config._attn_implementation == before
    monkeypatch.setattr(choices, "can_pack", lambda _: False)
    assert choice_logps(model, REQUESTS, ROOM) is None


def test_the_model_is_as_it_was() -> None:
    model = model_of(CONFIGS["llama"])
    ids = torch.tensor([[1, 2, 3, 4]])
    before, attention = model(ids).logits, model.config._attn_implementation
    close(model, REQUESTS)
    assert torch.equal(model(ids).logits, before)
    assert model.config._attn_implementation == attention
