"""Texts and lists of messages, as data sets write them, become conversations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ropo_bench.preferences.keys import is_empty, refuse_changing
from ropo_bench.preferences.malformed import MalformedError
from ropo_bench.preferences.marks import ROLES, turns_of
from ropo_bench.store.bounded import check_unicode
from ropo_bench.types import Message

Conversation = tuple[Message, ...]

_PYTHON_LIST = re.compile(r"\s*\[\s*\{\s*'(?:role|from|content|value)'\s*:")


def messages_of(value: Any, role: str, key: str) -> Conversation:
    """A text, a message or a list of messages as a conversation; a bare text speaks with the given role."""
    if isinstance(value, str):
        return check(tuple(turns_of(text_of(value, key), role, key)), key)
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise MalformedError(f"{key!r} is a {type(value).__name__}, not text or messages")
    return check(tuple(message for item in value for message in _message(item, key, len(value) == 1)), key)


def _message(item: Any, key: str, alone: bool) -> list[Message]:
    """The message that an item holds; alone, it may hold a whole chat that went through a template."""
    if not isinstance(item, Mapping):
        raise MalformedError(f"{key!r} holds a {type(item).__name__} where a message should be")
    refuse_changing(item, f"a message of {key!r}", in_message=True)
    role = item.get("role") or item.get("from")
    speaker = ROLES.get(role.lower()) if isinstance(role, str) else None
    if speaker is None:
        raise MalformedError(f"{key!r} has a message with the role {str(role)[:40]!r}; known: {', '.join(ROLES)}")
    content = item.get("content") if item.get("content") is not None else item.get("value")
    text = _joined_parts(content, key) if isinstance(content, list) else text_of(content, key)
    turns = turns_of(text, speaker, key)
    if len(turns) != 1 or turns[0]["role"] != speaker:
        if not alone:
            raise MalformedError(
                f"{key!r} has a message that holds a whole chat of a template; give each turn as a message of its own"
            )
        return turns
    return turns


def _joined_parts(parts: list[Any], key: str) -> str:
    """The text of typed content parts: [{"type": "text", "text": ...}], one after the other."""
    texts: list[str] = []
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
        if kind != "text" or not isinstance(part, Mapping):
            raise MalformedError(
                f"{key!r} has a content part of the type {str(kind)[:40]!r}; only text can be trained on"
            )
        refuse_changing(part, f"a content part of {key!r}")
        texts.append(text_of(part.get("text"), key))
    return "".join(texts)


def decode(value: Any, key: str) -> Any:
    """Messages that were written as JSON text, decoded; anything else as it is.

    MalformedError for messages written as Python text, which JSON cannot read.
    """
    if not isinstance(value, str):
        return value
    if _PYTHON_LIST.match(value):
        raise MalformedError(f"{key!r} is a list of messages written as Python text; write it as a JSON list")
    if value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        return value  # text that happens to start with a bracket
    if isinstance(content, Mapping) and set(content) == {"messages"}:
        content = content["messages"]
    messages = [content] if isinstance(content, Mapping) else content
    return content if isinstance(messages, list) and messages and all(map(_is_message, messages)) else value


def _is_message(item: Any) -> bool:
    """Whether a decoded item is a message and nothing else; other JSON is an answer's own text."""
    if not isinstance(item, Mapping):
        return False
    role = item.get("role") or item.get("from")
    return isinstance(role, str) and role.lower() in ROLES and ("content" in item or "value" in item)


def history_of(value: Any) -> Conversation:
    """LLaMA-Factory's history: a list of [user, assistant] texts, or messages."""
    if is_empty(value):
        return ()
    if not isinstance(value, list):
        raise MalformedError(f"'history' is a {type(value).__name__}, not a list of [user, assistant]")
    if all(isinstance(turn, Mapping) for turn in value):
        return messages_of(value, "user", "history")
    messages: list[Message] = []
    for turn in value:
        if not isinstance(turn, list) or len(turn) != 2:
            raise MalformedError("'history' holds what is no [user, assistant]; give two texts a turn")
        user, assistant = (text_of(said, "history") for said in turn)
        messages += [Message(role="user", content=user), Message(role="assistant", content=assistant)]
    return check(tuple(messages), "history")


def check(messages: Conversation, key: str) -> Conversation:
    """The messages; MalformedError where a user says nothing."""
    if any(m["role"] == "user" and not m["content"].strip() for m in messages):
        raise MalformedError(f"{key!r} has an empty user message")
    return messages


def text_of(value: Any, key: str) -> str:
    """A text that can be written as UTF-8; MalformedError for anything else."""
    if not isinstance(value, str):
        raise MalformedError(f"{key!r} has a {type(value).__name__} where text should be")
    try:
        check_unicode(value)
    except ValueError as error:
        raise MalformedError(f"{key!r} holds {error}") from None
    return value
