"""Answers that are none: empty ones, one piece of text for ever, the same text to every prompt."""

from __future__ import annotations

from collections.abc import Sequence

from ropo_bench.types import Completion

SHARE = 0.1  # of the answers; fewer are an accident
REPEATS = 10  # of one piece at an answer's end
LONGEST_PIECE = 20  # characters
FEWEST_PROMPTS = 3  # that one text for all of them tells something


def find_degenerate(completions: Sequence[Completion]) -> list[str]:
    """Sentences about a row's answers to one task that a reader of its number must know; all turns count as one.

    A score of such answers is a score: it stands, and beside it what it is a score of.
    """
    if not completions:
        return []
    texts = ["".join(completion.turns) for completion in completions]
    empty = sum(any(not turn.strip() for turn in completion.turns) for completion in completions)
    looping = [piece for completion in completions if (piece := repeated_piece(completion))]
    number, sentences = len(completions), []
    if empty >= SHARE * number:
        sentences.append(f"{empty:,} of {number:,} answers are empty")
    if len(looping) >= SHARE * number:
        most = max(sorted(set(looping)), key=looping.count)
        sentences.append(f"{len(looping):,} of {number:,} answers repeat one piece to their end, most often {most!r}")
    prompts = {completion.prompt_id for completion in completions}
    if len(set(texts)) == 1 and texts[0].strip() and len(prompts) >= FEWEST_PROMPTS:
        sentences.append(f"all {number:,} answers are the same text ({texts[0][:LONGEST_PIECE]!r})")
    return sentences


def repeated_piece(completion: Completion) -> str | None:
    """The shortest piece of text that an answer, which came to no end, repeats at its end; None for a sound one."""
    if not completion.truncated:
        return None
    for text in completion.turns:
        for length in range(1, LONGEST_PIECE + 1):
            piece = text[-length:]
            if piece.strip() and len(text) >= length * REPEATS and text.endswith(piece * REPEATS):
                return piece
    return None
