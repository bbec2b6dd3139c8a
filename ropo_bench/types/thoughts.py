"""Thoughts: what a reasoning model writes between <think> and </think> before it answers."""

from __future__ import annotations

from typing import NamedTuple

OPEN, CLOSE = "<think>", "</think>"


class Thinking(NamedTuple):
    """A text without its thoughts; cut: it ended within them, so that nothing of it is an answer."""

    text: str
    cut: bool = False


def without_thoughts(text: str) -> Thinking:
    """What stands behind the last </think>; the whole text where it marks no thoughts.

    The prompt may have opened the thoughts, so </think> needs no <think> before it. A text that begins with <think>
    and never closes it leaves nothing; a <think> within a sentence is a word of the answer.
    """
    _, closed, after = text.rpartition(CLOSE)
    if after.lstrip().startswith(OPEN):
        return Thinking("", cut=True)
    return Thinking(after.lstrip()) if closed else Thinking(text)
