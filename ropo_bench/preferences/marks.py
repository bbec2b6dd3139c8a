"""Text that already went through a chat template: its marks are found, and read back into turns where certain."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropo_bench.preferences.malformed import MalformedError
from ropo_bench.types import Message, Pair

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}


@dataclass(frozen=True, slots=True)
class Form:
    """How a family of chat templates writes a turn: a header with its role, the content, an end.

    joined: whether blanks around a content are the template's.
    """

    name: str
    header: re.Pattern[str]
    ends: tuple[str, ...]
    joined: bool = False


FORMS = (
    Form("ChatML", re.compile(r"<\|im_start\|>(?P<role>\w+)\n"), ("<|im_end|>",)),
    Form(
        "Llama 3",
        re.compile(r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\n\n"),
        ("<|eot_id|>",),
        joined=True,
    ),
    Form("Gemma", re.compile(r"<start_of_turn>(?P<role>\w+)\n"), ("<end_of_turn>",), joined=True),
    Form("Zephyr", re.compile(r"<\|(?P<role>system|user|assistant)\|>\n"), ("</s>", "<|end|>")),
)
_BEGINNINGS = re.compile(r"\s*(?:<\|begin_of_text\|>|<bos>|<s>(?=\s*(?:\[INST\]|<\|)))")
_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>")
# HTML strikes out with <s> and </s>: those two are marks only at the edges of a text.
_MARKS = re.compile(
    r"<\|(?:im_start|im_end|start_header_id|end_header_id|eot_id|begin_of_text|end_of_text|endoftext|end|system|user"
    r"|assistant)\|>|</?(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
)
_BRACKETS = re.compile(
    r"(?:<s>)?\s*\[INST\](?P<user>.*?)\[/INST\](?P<answer>.*?)(?=(?:<s>)?\s*\[INST\]|\Z)", re.DOTALL
)
_SYSTEM = re.compile(r"\s*<<SYS>>\n?(?P<system>.*?)\n?<</SYS>>\s*", re.DOTALL)
# What Llama 3.1's template writes into the system turn by itself.
_DATES = re.compile(r"(?:Cutting Knowledge Date: [^\n]*\n)?(?:Today Date: [^\n]*\n)?\n*")


def turns_of(text: str, role: str, key: str) -> list[Message]:
    """The turns that a text holds: those its template marks tell apart, or one turn of the given role.

    A generation prompt at the end (a header with nothing after it) is no turn; an end of turn after an answer is not
    part of it. MalformedError for a text that starts as a template's and does not go on as one.
    """
    bare = _BEGINNINGS.sub("", text, count=1) if _BEGINNINGS.match(text) else text
    start = bare.lstrip()
    if start.startswith("[INST]"):
        return _bracket_turns(start, key)
    for form in FORMS:
        if form.header.match(start):
            return _turns(form, start, key)
    return [Message(role=role, content=_without_end(bare) if role == "assistant" else bare)]


def _turns(form: Form, text: str, key: str) -> list[Message]:
    headers = list(form.header.finditer(text))
    messages: list[Message] = []
    for index, header in enumerate(headers):
        is_last = index == len(headers) - 1
        body = text[header.end() : None if is_last else headers[index + 1].start()]
        role = ROLES.get(header["role"].lower())
        content, ended = _cut_end(body, form)
        if is_last and not content.strip() and not ended and role == "assistant":
            break  # the generation prompt
        if role is None or not (ended or (is_last and role == "assistant" and messages)) or holds_mark(content):
            raise _uncertain(form.name, header[0], key)
        if role == "system" and form.name == "Llama 3":
            content = _DATES.sub("", content, count=1)
        content = content.strip() if form.joined else content
        if content or role != "system":
            messages.append(Message(role=role, content=content))
    return messages


def _cut_end(body: str, form: Form) -> tuple[str, bool]:
    stripped = body.rstrip()
    for end in form.ends:
        if stripped.endswith(end):
            return stripped.removesuffix(end), True
    return body, False


def _bracket_turns(text: str, key: str) -> list[Message]:
    """Llama 2's and Mistral's: [INST] question [/INST] answer </s>, a system text inside the first question."""
    messages: list[Message] = []
    position = 0
    for match in _BRACKETS.finditer(text):
        if match.start() != position:
            break
        position = match.end()
        user = match["user"]
        if system := _SYSTEM.match(user):
            messages.append(Message(role="system", content=system["system"].strip()))
            user = user[system.end() :]
        messages.append(Message(role="user", content=user.strip()))
        if answer := _without_end(match["answer"]).strip():
            messages.append(Message(role="assistant", content=answer))
    if position != len(text) or any(holds_mark(message["content"]) for message in messages):
        raise _uncertain("Llama 2", "[INST]", key)
    return messages


def _uncertain(form: str, mark: str, key: str) -> MalformedError:
    return MalformedError(
        f"{key!r} starts as text of {form}'s chat template ({mark!r}) and does not go on as one; give the"
        " conversation as messages, without template marks"
    )


def _without_end(text: str) -> str:
    """An answer without the end of turn that a template wrote after it."""
    stripped = text.rstrip()
    for end in _ENDS:
        if stripped.endswith(end) and not (end == "</s>" and "<s>" in stripped):
            # Llama 2's template writes a blank before it; no answer ends in one.
            return _without_end(stripped.removesuffix(end).rstrip(" "))
    return text


def holds_mark(text: str) -> str | None:
    """The first template mark in a text, or None."""
    match = _MARKS.search(text)
    return match[0] if match else None


def texts_of(pair: Pair) -> Iterator[tuple[str, str]]:
    """(key, text) of everything in a pair that a template will write."""
    for message in pair.prompt:
        yield "prompt", message["content"]
    yield "chosen", pair.chosen
    yield "rejected", pair.rejected


def mark_in_pair(pair: Pair) -> str | None:
    """The first template mark in any text of a pair, or None."""
    return next((mark for _, text in texts_of(pair) if (mark := holds_mark(text))), None)


def mark_in_value(value: Any) -> str | None:
    """The first template mark in a text, in messages, or in the parts of their contents; None where there is none."""
    if isinstance(value, str):
        return holds_mark(value)
    if isinstance(value, dict):
        return next((mark for item in value.values() if isinstance(item, str) and (mark := holds_mark(item))), None)
    if isinstance(value, list):
        return next((mark for item in value if isinstance(item, dict) and (mark := mark_in_value(item))), None)
    return None


def special_tokens(folder: Path) -> list[str]:
    """The special tokens of a model folder's tokenizer, sorted; read from its files, without transformers.

    Only the visible ones: tokens of white space are in every text.
    """
    tokens: set[str] = set()
    for name, key in (("tokenizer.json", "added_tokens"), ("tokenizer_config.json", "added_tokens_decoder")):
        try:
            added = json.loads((folder / name).read_bytes()).get(key) or []
        except (OSError, ValueError, AttributeError):
            continue  # what cannot be read is told where the tokenizer is loaded
        items = added.values() if isinstance(added, dict) else added
        tokens |= {item["content"] for item in items if isinstance(item, dict) and item.get("special")}
    return sorted(token for token in tokens if isinstance(token, str) and token.strip())


def refuse_special(pair: Pair, special: re.Pattern[str] | None) -> None:
    """MalformedError where a text of the pair holds a special token of the tokenizer, which would be read as one."""
    if special is None:
        return
    for key, text in texts_of(pair):
        if match := special.search(text):
            raise MalformedError(
                f"{key!r} holds {match[0]!r}, a special token of the base model's tokenizer, which would be trained"
                " on as such; remove it from the text or remove the row"
            )
