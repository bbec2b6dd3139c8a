"""One record of a preference data set, in any of the forms in use, becomes one Pair.

Forms, told apart by their keys and types:
  explicit        prompt + chosen + rejected, as text or as lists of messages (TRL); also question (Orca)
  implicit        chosen + rejected, each a whole conversation with the same beginning (TRL, UltraFeedback)
  dialogue        the same as text: "\\n\\nHuman: ...\\n\\nAssistant: ..." (HH-RLHF)
  sharegpt        conversations + chosen + rejected, messages as {from, value} (LLaMA-Factory); also `messages`
  alpaca          instruction + input + history + system + chosen + rejected (LLaMA-Factory)

A prompt given as plain text becomes one user message: the evaluation asks through the chat template, so
training has to use it too. What a record says beside its pair is repeated in it, unread by design (keys.py), or
the record is refused: nothing that would change the pair is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ropo_bench.preferences.keys import PROMPTS, SYSTEMS, is_empty, missing_answer, refuse_changing
from ropo_bench.preferences.malformed import MalformedError
from ropo_bench.preferences.marks import ROLES
from ropo_bench.preferences.messages import Conversation, check, decode, history_of, messages_of, text_of
from ropo_bench.types import Message, Pair

__all__ = ["MalformedError", "pair_of"]

_DIALOGUE = re.compile(r"\s*Human:.*?\n\nAssistant:", re.DOTALL)
_TURN = re.compile(r"\n\n(Human|Assistant):")


def pair_of(record: Any, id: str) -> Pair:
    """The pair that a record holds; raises MalformedError with the reason where it holds none.

    An empty answer is a pair's right (HH-RLHF has some): it becomes the end-of-turn token alone. So are two
    equal answers: they carry no preference, and give a margin no gradient.
    """
    if not isinstance(record, Mapping):
        raise MalformedError(f"is a {type(record).__name__}, not an object with keys")
    refuse_changing(record, "it")
    for key in ("chosen", "rejected"):
        if record.get(key) is None:
            raise MalformedError(missing_answer(record, key))
    name, prompt = _prompt(record)
    history = history_of(record.get("history"))
    chosen, rejected = (
        _conversation(prompt, history, decode(record[key], key), key) for key in ("chosen", "rejected")
    )
    if len(chosen) != len(rejected):
        raise MalformedError(
            f"chosen and rejected do not share their prompt: {len(chosen)} and {len(rejected)} messages; cut the"
            " longer side to the same last turn"
        )
    if chosen[:-1] != rejected[:-1]:
        raise MalformedError("chosen and rejected do not share their prompt")
    beginning = _join(_with_system(record, chosen[:-1]))
    if not beginning or beginning[-1]["role"] != "user":
        raise MalformedError("prompt does not end in a user message")
    pair = Pair(id, beginning, chosen[-1]["content"], rejected[-1]["content"])
    _refuse_lost_prompts(record, name, pair)
    return pair


def _prompt(record: Mapping[str, Any]) -> tuple[str | None, Any]:
    """(key, value) of the prompt: the first column that has one, an alpaca's input joined to its instruction."""
    name = next((key for key in PROMPTS if not is_empty(record.get(key))), None)
    if name is None:
        return None, None
    prompt = decode(record[name], name)
    if name == "instruction":
        texts = [text_of(record[key], key) for key in ("instruction", "input") if not is_empty(record.get(key))]
        return name, "\n".join(texts)
    return name, prompt


def _with_system(record: Mapping[str, Any], conversation: Conversation) -> Conversation:
    """The conversation under the record's system text, which it may repeat but not contradict."""
    for key in SYSTEMS:
        if is_empty(record.get(key)):
            continue
        text = text_of(record[key], key)
        if conversation and conversation[0]["role"] == "system":
            if _plain(conversation[0]["content"]) != _plain(text):
                raise MalformedError(f"{key!r} and the system message of the conversation differ; keep one of them")
        elif text.strip():
            conversation = (Message(role="system", content=text), *conversation)
    return conversation


def _conversation(prompt: Any, history: Conversation, answer: Any, key: str) -> Conversation:
    """Prompt and answer as one conversation that ends in the assistant's answer."""
    if isinstance(answer, str) and (prompt is None or isinstance(prompt, str)):
        text = (prompt or "") + answer
        if _DIALOGUE.match(text):
            if history:
                raise MalformedError("'history' stands beside a dialogue; write it into the dialogue")
            return _dialogue(text_of(text, key), key)
    messages = messages_of(answer, "assistant", key)
    if not messages or messages[-1]["role"] != "assistant":
        raise MalformedError(f"{key!r} does not end in an assistant message")
    is_answer = messages[0]["role"] == "assistant"
    if prompt is None and not history and is_answer:
        if isinstance(answer, str):
            raise MalformedError(f"has no 'prompt', and {key!r} is neither a dialogue nor a list of messages")
        raise MalformedError("prompt does not end in a user message; there is none")
    beginning = history + (() if prompt is None else messages_of(prompt, "user", "prompt"))
    if is_answer:
        return _without_answer(beginning, messages) + messages
    return _overlaid(beginning, messages, key)


def _without_answer(beginning: Conversation, answer: Conversation) -> Conversation:
    """A prompt that is asked; a whole conversation that ends in this very answer repeats it."""
    return beginning[:-1] if len(answer) == 1 and beginning and beginning[-1] == answer[0] else beginning


def _overlaid(beginning: Conversation, messages: Conversation, key: str) -> Conversation:
    """A prompt column beside a conversation that opens with the user or the system: repeated by it, or before it."""
    texts = [_plain(message["content"]) for message in messages]
    if not beginning or all(_is_within(message["content"], texts) for message in beginning):
        return messages
    if beginning[-1]["role"] == "assistant" and beginning[:-1] == messages[:-1]:
        return messages  # the column repeats the conversation of the other side (UltraFeedback's messages)
    system = tuple(message for message in beginning if message["role"] == "system")
    rest = beginning[len(system) :]
    if beginning[: len(system)] == system and messages[0]["role"] != "system":
        if rest and messages[: len(rest)] == rest:
            return system + messages
        if not rest or rest[-1]["role"] == "assistant":
            return beginning + messages
    raise MalformedError(
        f"the prompt column says what the conversation in {key!r} does not repeat; write the prompt into the"
        " conversation or remove it"
    )


def _refuse_lost_prompts(record: Mapping[str, Any], used: str | None, pair: Pair) -> None:
    """MalformedError where a second prompt column says what the pair does not."""
    texts = [_plain(text) for text in (*(m["content"] for m in pair.prompt), pair.chosen, pair.rejected)]
    for key in PROMPTS:
        value = decode(record.get(key), key)
        if key == used or is_empty(value) or (used == "instruction" and key == "input"):
            continue
        if not all(_is_within(message["content"], texts) for message in messages_of(value, "user", key)):
            raise MalformedError(f"has two prompts, {used!r} and {key!r}, that differ; keep the one that was asked")


def _is_within(text: str, texts: list[str]) -> bool:
    plain = _plain(text)
    return any(plain in other for other in texts)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _dialogue(text: str, key: str) -> Conversation:
    _, *parts = _TURN.split("\n\n" + text.lstrip())
    turns = zip(parts[::2], parts[1::2], strict=True)
    messages = tuple(Message(role=ROLES[who.lower()], content=said.strip()) for who, said in turns)
    if messages[-1]["role"] != "assistant":
        raise MalformedError(f"{key!r} does not end in an assistant turn")
    return check(messages, key)


def _join(messages: Conversation) -> Conversation:
    """Messages in a row by one role become one: chat templates want roles to alternate."""
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            content = joined[-1]["content"] + "\n\n" + message["content"]
            joined[-1] = Message(role=message["role"], content=content)
        else:
            joined.append(message)
    return tuple(joined)
