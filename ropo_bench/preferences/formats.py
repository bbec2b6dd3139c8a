"""One record of a preference data set, in any of the forms in use, becomes one Pair.

Forms, told apart by their keys and types:
  explicit        prompt + chosen + rejected, as text or as lists of messages (TRL)
  implicit        chosen + rejected, each a whole conversation with the same beginning (TRL, UltraFeedback)
  dialogue        the same as text: "\\n\\nHuman: ...\\n\\nAssistant: ..." (HH-RLHF)
  sharegpt        conversations + chosen + rejected, messages as {from, value} (LLaMA-Factory)

A prompt given as plain text becomes one user message: the evaluation asks through the chat template, so
training has to use it too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ropo_bench.types import Message, Pair

_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
_DIALOGUE = re.compile(r"\s*Human:.*?\n\nAssistant:", re.DOTALL)
_TURN = re.compile(r"\n\n(Human|Assistant):")

Conversation = tuple[Message, ...]


class MalformedError(Exception):
    """This record is no preference pair; the message is the reason."""


def pair_of(record: Any, id: str) -> Pair:
    """The pair that a record holds; raises MalformedError with the reason where it holds none.

    An empty answer is a pair's right (HH-RLHF has some): it becomes the end-of-turn token alone. So are two
    equal answers: they carry no preference, and give a margin no gradient.
    """
    if not isinstance(record, Mapping):
        raise MalformedError(f"is a {type(record).__name__}, not an object with keys")
    for key in ("chosen", "rejected"):
        if record.get(key) is None:
            raise MalformedError(f"has no {key!r}; its keys: {', '.join(map(str, record)) or 'none'}")
    prompt = record.get("prompt")
    if prompt is None:
        prompt = record.get("conversations")
    chosen, rejected = (_conversation(prompt, record[key], key) for key in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise MalformedError("chosen and rejected do not share their prompt")
    beginning = _joined(_system(record.get("system")) + chosen[:-1])
    if not beginning or beginning[-1]["role"] != "user":
        raise MalformedError("prompt does not end in a user message")
    return Pair(id, beginning, chosen[-1]["content"], rejected[-1]["content"])


def _system(text: Any) -> Conversation:
    return (Message(role="system", content=_text(text, "system")),) if text else ()


def _conversation(prompt: Any, answer: Any, key: str) -> Conversation:
    """Prompt and answer as one conversation that ends in the assistant's answer."""
    if isinstance(answer, str) and (prompt is None or isinstance(prompt, str)):
        text = (prompt or "") + answer
        if _DIALOGUE.match(text):
            return _dialogue(_text(text, key), key)
        if prompt is None:
            raise MalformedError(f"has no 'prompt', and {key!r} is neither a dialogue nor a list of messages")
    beginning = () if prompt is None else _messages(prompt, "user", "prompt")
    messages = _messages(answer, "assistant", key)
    if not messages or messages[-1]["role"] != "assistant":
        raise MalformedError(f"{key!r} does not end in an assistant message")
    # A list that opens with the user or the system is the whole conversation; a prompt beside it repeats it.
    return beginning + messages if messages[0]["role"] == "assistant" else messages


def _dialogue(text: str, key: str) -> Conversation:
    _, *parts = _TURN.split("\n\n" + text.lstrip())
    turns = zip(parts[::2], parts[1::2], strict=True)
    messages = tuple(Message(role=_ROLES[who.lower()], content=said.strip()) for who, said in turns)
    if messages[-1]["role"] != "assistant":
        raise MalformedError(f"{key!r} does not end in an assistant turn")
    return _checked(messages, key)


def _joined(messages: Conversation) -> Conversation:
    """Messages in a row by one role become one: chat templates want roles to alternate."""
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            content = joined[-1]["content"] + "\n\n" + message["content"]
            joined[-1] = Message(role=message["role"], content=content)
        else:
            joined.append(message)
    return tuple(joined)


def _messages(value: Any, role: str, key: str) -> Conversation:
    """A text, a message or a list of messages; a bare text speaks with the given role."""
    if isinstance(value, str):
        return _checked((Message(role=role, content=_text(value, key)),), key)
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise MalformedError(f"{key!r} is a {type(value).__name__}, not text or messages")
    return _checked(tuple(_message(item, key) for item in value), key)


def _message(item: Any, key: str) -> Message:
    if not isinstance(item, Mapping):
        raise MalformedError(f"{key!r} holds a {type(item).__name__} where a message should be")
    role = item.get("role", item.get("from"))
    if not isinstance(role, str) or role not in _ROLES:
        raise MalformedError(f"{key!r} has a message with the role {role!r}; known: {', '.join(_ROLES)}")
    return Message(role=_ROLES[role], content=_text(item.get("content", item.get("value")), key))


def _checked(messages: Conversation, key: str) -> Conversation:
    if any(m["role"] == "user" and not m["content"].strip() for m in messages):
        raise MalformedError(f"{key!r} has an empty user message")
    return messages


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise MalformedError(f"{key!r} has a {type(value).__name__} where text should be")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise MalformedError(f"{key!r} holds half a surrogate pair, which is no valid Unicode") from None
    return value
