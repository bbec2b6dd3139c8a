"""What the backends share: batches, seeds, the room of a context, and conversations under way."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ropo_bench.errors import MethodFailed, UsageError
from ropo_bench.generation.thinking import answer_start, opens_thoughts
from ropo_bench.recipes.task import Decoding
from ropo_bench.types import Completion, Message, Prompt

Batch = list[tuple[Prompt, int]]


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
    return _hash(f"{seed}:{batch}")


def turn_seed(seed: int, prompt_id: str, sample: int, turn: int) -> int:
    """Seed of one answer, below 2^63, for engines that draw every answer from a stream of its own."""
    return _hash(f"{seed}:{sample}:{turn}:{prompt_id}")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def temperature_of(prompt: Prompt, decoding: Decoding) -> float:
    """The temperature of the prompt's category, or the one for all; 0 is greedy."""
    return decoding.temperatures.get(prompt.category, decoding.temperature)


def num_new_tokens(num_tokens: int, max_new_tokens: int, room_tokens: int | None) -> int:
    """How many tokens may answer a chat: fewer where the context ends before, 0 where the chat alone fills it."""
    return max_new_tokens if room_tokens is None else max(0, min(max_new_tokens, room_tokens - num_tokens))


def fit(context: Sequence[int], continuation: Sequence[int], room_tokens: int | None) -> tuple[list[int], int]:
    """Context and continuation as one sequence of at most room_tokens, and where the continuation starts.

    What is too long loses its beginning, as in lm-eval. Raises UsageError where the continuation alone is too long.
    """
    ids = [*context, *continuation]
    if room_tokens is not None:
        ids = ids[-room_tokens:]
    start = len(ids) - len(continuation)
    if start < 1:
        raise UsageError(
            f"log-likelihoods: a continuation of {len(continuation)} tokens after {len(context)} of context does not"
            f" fit into the model's context of {room_tokens}; give at least one token of context and shorter choices"
        )
    return ids, start


def check_logps(results: list[tuple[float, bool]]) -> list[tuple[float, bool]]:
    """The log-likelihoods, if all of them are numbers; raises MethodFailed for NaN or infinity."""
    wrong = [logp for logp, _ in results if not math.isfinite(logp)]
    if wrong:
        raise MethodFailed(
            f"log-likelihoods: {len(wrong)} of {len(results)} are not finite (the first is {wrong[0]}), so they are"
            " no scores; load the model in float32 (merge.dtype), or give another model"
        )
    return results


@dataclass
class Conversation:
    """One draw of a prompt on its way: the chat so far, and what its answers were."""

    prompt: Prompt
    sample: int
    chat: list[Message] = field(default_factory=list)
    num_tokens: list[int] = field(default_factory=list)
    truncated: bool = False
    thoughts: Literal["drop", "keep"] = "drop"
    raw: list[str] = field(default_factory=list)

    @property
    def turn(self) -> int:
        """The turn that is to be answered, counted from 0."""
        return len(self.num_tokens)

    @property
    def finished(self) -> bool:
        """Whether every turn has its answer."""
        return self.turn == len(self.prompt.turns)

    def ask(self) -> list[Message]:
        """The chat up to the answer that is wanted next."""
        self.chat.append(Message(role="user", content=self.prompt.turns[self.turn]))
        return self.chat

    def answer(self, ids: Sequence[int], stop_ids: Collection[int], tokenizer: Any) -> None:
        """Take the new token ids as the answer; without a stop token at their end it was cut.

        No ids at all, where the chat left no room, are an empty answer. Thoughts are no part of it, unless they are
        to be kept: later turns do not see them, and one that was cut within them is empty.
        """
        stopped = bool(ids) and ids[-1] in stop_ids
        written = ids[:-1] if stopped else ids
        self.raw.append(tokenizer.decode(written, skip_special_tokens=True))
        start = 0
        if self.thoughts == "drop":
            opened = not stopped and opens_thoughts(tokenizer, self.chat)
            start = answer_start(written, tokenizer, opened=opened)
        text = tokenizer.decode(written[start:], skip_special_tokens=True) if start else self.raw[-1]
        self.chat.append(Message(role="assistant", content=text.lstrip() if start else text))
        self.num_tokens.append(len(written) - start)
        self.truncated |= not stopped

    def completion(self) -> Completion:
        """All answers of a finished conversation."""
        turns = tuple(message["content"] for message in self.chat if message["role"] == "assistant")
        raw = tuple(self.raw)
        return Completion(
            self.prompt.id, self.sample, turns, tuple(self.num_tokens), self.truncated, None if raw == turns else raw
        )
