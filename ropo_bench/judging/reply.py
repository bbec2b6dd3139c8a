"""What an endpoint's answer to one request is: a complete answer, or why there is none."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ropo_bench.types import JudgeAnswer

Kind = Literal["throttled", "unreachable", "overloaded", "garbage", "refused", "no-quota"]
NAME_CHARACTERS = 200  # of a model's name
MOST_TOKENS = 100_000_000  # that anybody counts for one request; a larger number is no count
ROUNDING_NATS = 1e-3  # by which a log-probability may be above 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer; tokens are None where the endpoint gave no count of them that can be one."""

    answer: JudgeAnswer
    input_tokens: int | None
    output_tokens: int | None

    @property
    def model(self) -> str | None:
        """Who answered, as the endpoint names it."""
        return self.answer.model


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer; free of keys, one line. retry_after: seconds, where the endpoint asked for a pause.

    throttled (429), unreachable (no connection), overloaded (5xx, timeout, broken connection), garbage (no chat
    completion), refused (other 3xx and 4xx: the same again would be refused again), no-quota (429 for good). billed:
    the endpoint may have worked for it, and may want to be paid.
    """

    kind: Kind
    reason: str
    status: int | None = None
    retry_after: float | None = None
    billed: bool = False


class _Malformed(ValueError):
    """A part of the body is not what a chat completion has there; never leaves this file."""


def read_completion(text: str) -> Reply | Failure:
    """A chat completion's first choice; garbage unless it has a message and says why it ended, or has a text."""
    try:
        return _reply(json.loads(text))
    except _Malformed as error:
        reason = f"no chat completion: {error}"
    except (ValueError, RecursionError) as error:
        reason = f"no chat completion ({type(error).__name__}), {len(text)} characters"
    return Failure("garbage", reason, billed=True)


def _reply(body: object) -> Reply:
    whole = _object(body, "the body")
    choices = whole.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _Malformed("it has no choices")
    choice = _object(choices[0], "its choice")
    message = _object(choice.get("message"), "its message")
    content, finish_reason = message.get("content"), choice.get("finish_reason")
    if content is None:
        content = message.get("refusal") or ""
    if not isinstance(content, str):
        raise _Malformed("its content is no text")
    if finish_reason is not None and not isinstance(finish_reason, str):
        raise _Malformed("its finish_reason is no word")
    if not (content or finish_reason):
        raise _Malformed("it has neither a text nor a finish_reason")
    answer = JudgeAnswer(content, _first_logprobs(choice), finish_reason or "stop", _model(whole.get("model")))
    return Reply(answer, *_usage(whole.get("usage"), content))


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Malformed(f"{what} is no object")
    return value


def _model(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.isprintable() or len(value) > NAME_CHARACTERS:
        raise _Malformed("its model is no name")
    return value


def _usage(usage: object, content: str) -> tuple[int | None, int | None]:
    """(input, output) tokens; what cannot be a count of this request is None, and then costs what it may."""
    if not isinstance(usage, dict):
        return None, None
    return _count(usage.get("prompt_tokens"), 1), _count(usage.get("completion_tokens"), 1 if content else 0)


def _count(value: object, least: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if least <= value <= MOST_TOKENS else None


def _first_logprobs(choice: Mapping[str, Any]) -> dict[str, float] | None:
    """token -> nats of the first token's alternatives; None where the endpoint gave none that can be read."""
    given = choice.get("logprobs")
    tokens = given.get("content") if isinstance(given, dict) else None
    first = tokens[0] if isinstance(tokens, list) and tokens else None
    entries = first.get("top_logprobs") if isinstance(first, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    top: dict[str, Any] = {}
    for entry in entries:
        top.setdefault(str(entry.get("token")), entry.get("logprob"))
    return read_logprobs(top)


def read_logprobs(top: object) -> dict[str, float] | None:
    """Log-probabilities (nats) by token, without those of probability 0; None where one of them can be none.

    A set with NaN, a text or a probability above 1 says nothing: part of it would be another verdict.
    """
    if not isinstance(top, dict) or not top:
        return None
    for nats in top.values():
        if isinstance(nats, bool) or not isinstance(nats, int | float) or not nats <= ROUNDING_NATS:  # NaN is not
            return None
    return {token: float(nats) for token, nats in top.items() if nats > -math.inf and nats >= -1e300} or None
