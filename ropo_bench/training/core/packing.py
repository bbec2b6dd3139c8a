"""Sequences to tensors: one row without padding, what several begin with once; or a padded rectangle.

A row is [prompt chosen rejected][prompt chosen rejected]... (a shared prompt) or [prompt chosen][prompt rejected]...;
or [context choice choice ...], with any number of choices. Positions count from 0 in every sequence, so the rejected
completion goes on where the prompt ended. A sequence's last token predicts nothing and is left out.

Shapes: R rows, T tokens a row, C scored tokens of the batch. B pairs have 2B sequences, the chosen ones first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ropo_bench.recipes.method import CoreRecipe
from ropo_bench.types import TokenizedPair


class Segment(NamedTuple):
    """Tokens of a row that attend to each other: what sequences begin with, then what is each one's own.

    first: length of the shared beginning, or of the whole sequence where nothing is shared. branches: lengths of the
    sequences' own parts; none sees another.
    """

    first: int
    branches: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Tokens in the row."""
        return self.first + sum(self.branches)


class Choice(NamedTuple):
    """A sequence (context and continuation) whose last num_scored tokens, the continuation, are scored."""

    ids: tuple[int, ...]
    num_scored: int


@dataclass(frozen=True, slots=True)
class Batch:
    """B pairs, or N choices, as tensors.

    segments: what a packed row consists of; () for a padded rectangle, which then has attention_RT (1: a token).
    source_C: where in the flattened rows a scored token is predicted. target_C: that token. sequence_C: its sequence,
    0 .. num_sequences - 1. num_tokens: tokens of all sequences, each with its prompt, however they are computed.
    """

    ids: tuple[str, ...]
    input_RT: Tensor
    position_RT: Tensor
    attention_RT: Tensor | None
    segments: tuple[Segment, ...]
    source_C: Tensor
    target_C: Tensor
    sequence_C: Tensor
    num_sequences: int
    num_tokens: int

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {
            n: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for n, v in content.items()
        }
        return Batch(**moved)


def row_tokens(pair: TokenizedPair, share: bool) -> int:
    """Tokens that a pair takes in a packed row, with its prompt once or twice."""
    read = len(_read(pair, pair.chosen_ids)) + len(_read(pair, pair.rejected_ids))
    return (1 if share else 2) * len(pair.prompt_ids) + read


def _read(pair: TokenizedPair, completion: Sequence[int]) -> Sequence[int]:
    """What the model reads of a completion: all but its last token (all of one without a prompt: no empty row)."""
    return completion[:-1] if pair.prompt_ids else completion


def pass_tokens(pair: TokenizedPair, core: CoreRecipe) -> int:
    """Tokens that a pair takes in a forward pass, where padding is to no longer pair of its batch."""
    if core.packing:
        return row_tokens(pair, core.prefix_sharing)
    return 2 * (len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids)))


def pack(pairs: Sequence[TokenizedPair], share: bool) -> Batch:
    """B pairs in one row without padding; share: each prompt once."""
    row = _Row()
    for number, pair in enumerate(pairs):
        prompt, chosen, rejected = pair.prompt_ids, pair.chosen_ids, pair.rejected_ids
        if share:
            start = row.add(prompt, 0)
            lengths = [
                row.score(completion, _read(pair, completion), start, len(prompt), sequence)
                for completion, sequence in ((chosen, number), (rejected, number + len(pairs)))
            ]
            row.segments.append(Segment(len(prompt), tuple(lengths)))
            continue
        for completion, sequence in ((chosen, number), (rejected, number + len(pairs))):
            start = row.add(prompt, 0)
            length = row.score(completion, _read(pair, completion), start, len(prompt), sequence)
            row.segments.append(Segment(len(prompt) + length))
    num_tokens = sum(2 * len(p.prompt_ids) + len(p.chosen_ids) + len(p.rejected_ids) for p in pairs)
    return row.batch(tuple(pair.id for pair in pairs), 2 * len(pairs), num_tokens)


def pack_choices(groups: Sequence[Sequence[Choice]]) -> Batch:
    """N choices in one row without padding; what the choices of a group begin with, and what they share whole, once.

    Sequences are numbered in order. A continuation may begin inside the shared beginning.
    """
    row = _Row()
    number = 0
    for group in groups:
        shared = shared_tokens([choice.ids[:-1] for choice in group])
        start = len(row.tokens)
        row.add(group[0].ids[:shared], 0)
        begins: dict[tuple[int, ...], int] = {}
        for ids, num_scored in group:
            branch = ids[shared:-1]
            if branch not in begins:
                begins[branch] = len(row.tokens)
                row.add(branch, shared)
            before, begin = range(len(ids) - 1 - num_scored, len(ids) - 1), begins[branch]
            row.sources += [start + i if i < shared else begin + i - shared for i in before]
            row.targets += ids[-num_scored:]
            row.sequences += [number] * num_scored
            number += 1
        row.segments.append(Segment(shared, tuple(map(len, begins))))
    return row.batch((), number, sum(len(choice.ids) for group in groups for choice in group))


def shared_tokens(sequences: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all of the sequences begin with."""
    low, high = min(sequences), max(sequences)  # in the order of a dictionary, no other shares less
    return next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))


class _Row:
    """A packed row as it grows."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.segments: list[Segment] = []
        self.sources: list[int] = []
        self.targets: list[int] = []
        self.sequences: list[int] = []

    def add(self, tokens: Sequence[int], position: int) -> int:
        """Append tokens whose positions begin at `position`; returns the index of the row's last token."""
        self.tokens += tokens
        self.positions += range(position, position + len(tokens))
        return len(self.tokens) - 1

    def score(
        self, completion: Sequence[int], read: Sequence[int], prompt_end: int, position: int, sequence: int
    ) -> int:
        """Append what is read of a completion, whose first token the prompt's last predicts, if any; its length."""
        begin = len(self.tokens)
        self.add(read, position)
        here = range(begin, begin + len(read))
        sources = [prompt_end, *here] if position else [*here]
        targets = completion if position else completion[1:]
        self.sources += sources[: len(targets)]
        self.targets += targets
        self.sequences += [sequence] * len(targets)
        return len(read)

    def batch(self, ids: tuple[str, ...], num_sequences: int, num_tokens: int) -> Batch:
        """The row as tensors."""
        return Batch(
            ids=ids,
            input_RT=torch.tensor([self.tokens]),
            position_RT=torch.tensor([self.positions]),
            attention_RT=None,
            segments=tuple(self.segments),
            source_C=torch.tensor(self.sources, dtype=torch.long),
            target_C=torch.tensor(self.targets, dtype=torch.long),
            sequence_C=torch.tensor(self.sequences, dtype=torch.long),
            num_sequences=num_sequences,
            num_tokens=num_tokens,
        )


def pad(pairs: Sequence[TokenizedPair], pad_id: int) -> Batch:
    """B pairs as a right-padded rectangle of 2B rows, the chosen sequences first."""
    rows = [(p.prompt_ids, p.chosen_ids) for p in pairs] + [(p.prompt_ids, p.rejected_ids) for p in pairs]
    scored = [(False,) * len(prompt) + (True,) * len(completion) for prompt, completion in rows]
    return pad_sequences([prompt + c for prompt, c in rows], scored, pad_id, tuple(p.id for p in pairs))


def pad_sequences(
    rows: Sequence[Sequence[int]], scored: Sequence[Sequence[bool]], pad_id: int, ids: tuple[str, ...] = ()
) -> Batch:
    """Sequences as a right-padded rectangle; scored marks the tokens whose log-probability is wanted."""
    width = max(map(len, rows))
    input_RT = torch.full((len(rows), width), pad_id, dtype=torch.long)
    attention_RT = torch.zeros((len(rows), width), dtype=torch.long)
    scored_RT = torch.zeros((len(rows), width), dtype=torch.bool)
    for row, (tokens, marks) in enumerate(zip(rows, scored, strict=True)):
        input_RT[row, : len(tokens)] = torch.tensor(tokens)
        attention_RT[row, : len(tokens)] = 1
        scored_RT[row, : len(tokens)] = torch.tensor(marks)
    row_C, column_C = scored_RT[:, 1:].nonzero(as_tuple=True)
    return Batch(
        ids=ids,
        input_RT=input_RT,
        position_RT=torch.arange(width).expand(len(rows), -1),
        attention_RT=attention_RT,
        segments=(),
        source_C=row_C * width + column_C,
        target_C=input_RT[row_C, column_C + 1],
        sequence_C=row_C,
        num_sequences=len(rows),
        num_tokens=sum(map(len, rows)),
    )
