"""A key-value cache written in place, from which rows can leave.

transformers' DynamicCache makes a new tensor every step; on CPU the allocation alone can take most of a small
model's time. Here the room is reserved once, and when rows finish, the last live rows move into their places.
Shapes: N rows, H heads, T positions reserved, t positions in this call, D features.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class RoomyLayer(DynamicLayer):
    """Keys and values of one attention layer in buffers (N, H, T, D), filled from the left."""

    def __init__(self, room_tokens: int) -> None:
        super().__init__()
        self.room_tokens = room_tokens
        self.num_filled = 0
        self.num_rows = 0
        self.is_initialized = False

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append (N, H, t, D) keys and values; returns views of everything filled so far."""
        if not self.is_initialized:
            rows, heads, _tokens, width = key_states.shape
            self.keys = key_states.new_empty(rows, heads, self.room_tokens, width)
            self.values = value_states.new_empty(rows, heads, self.room_tokens, value_states.shape[-1])
            self.dtype, self.device, self.num_rows = key_states.dtype, key_states.device, rows
            self.is_initialized = True
        start, self.num_filled = self.num_filled, self.num_filled + key_states.shape[2]
        filled_NHT = (slice(0, self.num_rows), slice(None), slice(0, self.num_filled))
        new_NHt = (slice(0, self.num_rows), slice(None), slice(start, self.num_filled))
        self.keys[new_NHt] = key_states
        self.values[new_NHt] = value_states
        return self.keys[filled_NHT], self.values[filled_NHT]

    def get_seq_length(self) -> int:
        """Positions filled."""
        return self.num_filled

    def keep(self, into: Tensor, moved: Tensor, num_rows: int) -> None:
        """Copy rows `moved` over rows `into`, then forget the rows from num_rows on."""
        self.keys[into, :, : self.num_filled] = self.keys[moved, :, : self.num_filled]
        self.values[into, :, : self.num_filled] = self.values[moved, :, : self.num_filled]
        self.num_rows = num_rows


class RoomyCache(Cache):
    """One RoomyLayer for each attention layer of a decoder."""

    def __init__(self, num_layers: int, room_tokens: int) -> None:
        self.roomy = [RoomyLayer(room_tokens) for _ in range(num_layers)]
        super().__init__(layers=list(self.roomy))

    def keep(self, live_N: Tensor) -> Tensor:
        """Let the rows go where live_N is False; returns the old indices of the rows in their new order."""
        num_rows = int(live_N.sum())
        order = live_N.new_ones(num_rows).nonzero()[:, 0]
        into = (~live_N[:num_rows]).nonzero()[:, 0]
        moved = live_N[num_rows:].nonzero()[:, 0] + num_rows
        order[into] = moved
        for layer in self.roomy:
            layer.keep(into, moved, num_rows)
        return order
