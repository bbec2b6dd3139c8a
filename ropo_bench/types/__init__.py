"""The nouns that travel from preference data to leaderboard; every stage takes and yields these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict


class Message(TypedDict):
    """One chat message, as tokenizers' chat templates read it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One preference: a conversation that ends in a user message, and two assistant answers to it."""

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """A pair as token ids; both completions end in the end-of-turn token unless they were cut."""

    id: str
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One evaluation item: user turns, the model answering after each; metadata is JSON for the scorer."""

    id: str
    turns: tuple[str, ...]
    category: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answers to all turns of one prompt; sample counts draws of the same prompt from 0.

    num_tokens: of the answers in turns, () where nobody counted. raw: the texts as they were written, thoughts among
    them, where one of the answers is not that text.
    """

    prompt_id: str
    sample: int
    turns: tuple[str, ...]
    num_tokens: tuple[int, ...]
    truncated: bool = False
    raw: tuple[str, ...] | None = None

    @property
    def cut_thoughts(self) -> bool:
        """Whether an answer is empty because its text ended within its thoughts."""
        return any(text and not answer for text, answer in zip(self.raw or (), self.turns, strict=False))


Status = Literal["scored", "unparsable", "infrastructure-failed"]


@dataclass(frozen=True, slots=True)
class Score:
    """One metric on one item; value is None unless status is "scored".

    cluster: the prompt that the item belongs to, the unit that is resampled for uncertainty.
    detail: JSON that an estimator or a reader needs (turn, category, length difference ...).
    """

    item: str
    cluster: str
    metric: str
    value: float | None
    status: Status = "scored"
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JudgeCall:
    """One question to a judge: a chat and its sampling parameters, in the words of the OpenAI API.

    item: what is judged, for people and records; unique in a list of calls. params: temperature, max_tokens ...
    """

    item: str
    messages: tuple[Message, ...]
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JudgeAnswer:
    """A judge's complete answer; top_logprobs of its first token where the endpoint gives them (token -> nats).

    model: who answered, as the endpoint names it.
    """

    text: str
    top_logprobs: Mapping[str, float] | None = None
    finish_reason: str = "stop"
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One cell of the leaderboard: an estimate with its uncertainty and its coverage.

    standard_error: None for a census of one seed. degrees: of the t distribution of its 95 % interval (low, high).
    split: source -> standard deviation of one observation ("seeds", "prompts", "sampling", "judge", "rest"), only
    what the data can tell apart. seed_sd: standard deviation of one seed's own value; None with one seed.
    """

    task: str
    metric: str
    value: float | None
    standard_error: float | None
    n: int
    n_unscored: int
    num_seeds: int = 1
    degrees: float | None = None
    low: float | None = None
    high: float | None = None
    split: Mapping[str, float] = field(default_factory=dict)
    seed_sd: float | None = None


Test = Literal["crossed t", "Welch t", "sign flips", "exact McNemar", "bootstrap t"]
Family = Literal["primary", "secondary"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The paired difference a - b of two rows of a table on n common prompts, with its 95 % interval.

    p_value: two-sided, of "there is none", by `test`. adjusted: over the whole table, None outside one. parts,
    skewness: of its error (statistics.crossed.Parts, statistics.skewness). family: where the table declares primary
    comparisons, whether this is one.
    """

    task: str
    metric: str
    a: str
    b: str
    estimate: float
    standard_error: float | None
    degrees: float | None
    low: float | None
    high: float | None
    p_value: float
    n: int
    test: Test
    adjusted: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    skewness: float = 0.0
    family: Family | None = None
