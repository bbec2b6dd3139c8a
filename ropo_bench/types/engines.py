"""A loaded model, as generation gives it and scoring uses it; the stages do not know each other, they know this."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ropo_bench.recipes.task import Decoding
from ropo_bench.types import Completion, Prompt


class Engine(Protocol):
    """One model in memory, until it is closed.

    backend: "hf" or "vllm". life: names this one load of the model in records. tokenizer: transformers' own.
    """

    backend: str
    life: str
    tokenizer: Any

    @property
    def room_tokens(self) -> int | None:
        """How many tokens a context has room for; None where nothing bounds it."""
        ...

    def generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, done: Collection[tuple[str, int]] = ()
    ) -> Iterator[list[Completion]]:
        """Completions, some at a time, of every (prompt id, sample) that is not in `done`."""
        ...

    def loglikelihoods(self, requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[tuple[float, bool]]:
        """Of each (context ids, continuation ids): summed log-probability, and whether it is the greedy choice."""
        ...

    def swap(self, folder: Path) -> bool:
        """Take another folder's weights in place of its own; False, and as before, if it cannot."""
        ...

    def close(self) -> None:
        """Give the model's memory back."""
        ...


@dataclass(frozen=True, slots=True)
class TextRequest:
    """A text to go on with, as token ids, up to one of the stop texts or max_tokens.

    sampling: temperature, top_p and the engine's other parameters under its own names.
    """

    ids: Sequence[int]
    max_tokens: int
    stop: Sequence[str] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)


class TextEngine(Engine, Protocol):
    """An engine that goes on with any text, without a chat; lm-eval brings its own for transformers."""

    def complete(self, requests: Sequence[TextRequest]) -> list[str]:
        """The texts that follow, without the stop text or end token that ended them; special tokens are kept."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that a scorer reads itself: its folder, its base's folder, and its engine, loaded on first use."""

    folder: Path
    base_folder: Path
    engine: Callable[[], Engine]
