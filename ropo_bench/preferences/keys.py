"""Which keys of a record are read, which would change the pair and are refused, and which are left unread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ropo_bench.preferences.malformed import MalformedError

PROMPTS = ("prompt", "conversations", "messages", "instruction", "question", "query", "input")
SYSTEMS = ("system", "system_prompt")
READ = frozenset([*PROMPTS, *SYSTEMS, "history", "chosen", "rejected", "id"])
MESSAGE_READ = frozenset(["role", "from", "content", "value"])

_MEDIA = "only text can be trained on"
_TOOLS = "tool calls are not trained on"
# A pair without them would be another pair: a picture that is asked about, a tool that is called, a thought before
# an answer, a switch of the chat template.
_CHANGING = {
    **dict.fromkeys(("image", "images", "video", "videos", "audio", "audios"), _MEDIA),
    **dict.fromkeys(("tools", "functions", "tool_calls", "function_call"), _TOOLS),
    "chat_template_kwargs": "it switches the chat template for one row",
    "reasoning_content": "thoughts apart from the answer are not trained on; write them into its content",
    "documents": "it is a part of the prompt; write it into the prompt",
    "context": "it is a part of the prompt; write it into the prompt",
}
_CHANGING_IN_MESSAGE = {
    **_CHANGING,
    **dict.fromkeys(("reasoning", "thinking"), _CHANGING["reasoning_content"]),
    "tool_call_id": _TOOLS,
}
# Forms without a chosen and a rejected answer, told by their keys.
_OTHER_FORMS = {
    ("completion", "label"): "KTO's form has one answer a row; pair a good and a bad answer to each prompt",
    ("response_0", "response_1"): "write the better response as 'chosen' and the other as 'rejected'",
    ("response_a", "response_b"): "write the better response as 'chosen' and the other as 'rejected'",
    ("response1", "response2"): "write the better response as 'chosen' and the other as 'rejected'",
    ("response_j", "response_k"): "rename response_j to 'chosen' and response_k to 'rejected'",
    ("chosen_response", "rejected_response"): "rename them to 'chosen' and 'rejected'",
    ("chosen_messages", "rejected_messages"): "rename them to 'chosen' and 'rejected'",
    ("output",): "one answer a row is a form for supervised training; give 'chosen' and 'rejected'",
    ("messages",): "one conversation a row is a form for supervised training; give 'chosen' and 'rejected'",
}


def is_empty(value: Any) -> bool:
    """Whether a value says nothing: None, or an empty text, list or mapping."""
    return value is None or (isinstance(value, str | list | tuple | Mapping) and not value)


def refuse_changing(mapping: Mapping[Any, Any], where: str, in_message: bool = False) -> None:
    """MalformedError naming the first key whose value would change the pair and is not read."""
    for key, reason in (_CHANGING_IN_MESSAGE if in_message else _CHANGING).items():
        if not is_empty(mapping.get(key)):
            raise MalformedError(f"{where} has the key {key!r} ({reason}); remove the row or the key")


def missing_answer(record: Mapping[Any, Any], key: str) -> str:
    """Why a record without chosen or rejected is no pair, with the mend where its form is known."""
    names = ", ".join(str(name)[:40] for name in list(record)[:20]) or "none"
    for keys, mend in _OTHER_FORMS.items():
        if all(name in record for name in keys):
            return f"has no {key!r}; its keys: {names} ({mend})"
    return f"has no {key!r}; its keys: {names}"


def unread_keys(record: Mapping[Any, Any]) -> Iterator[str]:
    """Keys with a value that no pair reads: the record's own, and those of its messages as `[].key`."""
    for key, value in record.items():
        if key not in READ and not is_empty(value):
            yield str(key)
    messages = [m for key in READ for m in _items(record.get(key)) if isinstance(m, Mapping)]
    yield from sorted(
        {f"[].{key}" for m in messages for key, value in m.items() if key not in MESSAGE_READ and not is_empty(value)}
    )


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
