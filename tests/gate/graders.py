"""Graders for a small suite: one that reads the answers, and one that something has broken."""

from __future__ import annotations

from collections.abc import Sequence

from ropo_bench.types import Prompt


def by_letters(prompt: Prompt, turns: Sequence[str]) -> list[float]:
    """The more different characters, the better, from 5 on."""
    return [5.0 + min(5.0, len(set(turn)) / 8) for turn in turns]


def broken(prompt: Prompt, turns: Sequence[str]) -> list[float]:
    """The lowest grade for everything."""
    return [1.0 for _ in turns]
