"""What the judge server says: functions of a request's content alone."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

Body = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]


def request_key(body: Body) -> str:
    """The server's own name of a request: what it asks, whatever the order of its fields."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def answer_text(body: Body) -> str:
    """The verdict that the prompt asks for, drawn from the whole request."""
    draw = int(hashlib.sha256(request_key(body).encode()).hexdigest(), 16)
    prompt = " ".join(str(message["content"]) for message in body["messages"])
    if body.get("logprobs"):
        return "mM"[draw % 2]
    if "[[A]]" in prompt:
        return f"Both answers were read. My final verdict is: [[{'ABC'[draw % 3]}]]"
    return f"The answer was read. Rating: [[{draw % 10 + 1}]]"


def completion(body: Body, text: str) -> Body:
    """A chat completion object; usage counts words; log-probabilities are of its first letter."""
    choice: Body = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    if body.get("logprobs"):
        share = 0.5 + (int(request_key(body), 16) % 1000) / 2001
        other = {"m": "M", "M": "m"}.get(text[:1], "?")
        top = [
            {"token": text[:1], "logprob": math.log(share), "bytes": None},
            {"token": other, "logprob": math.log(1 - share), "bytes": None},
        ]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top[: body.get("top_logprobs", 0)]}]}
    prompt_tokens = sum(len(str(message["content"]).split()) for message in body["messages"])
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(text.split())}
    return {
        "id": f"chatcmpl-{request_key(body)}",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [choice],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }


def error_body(message: str, code: str | None = None) -> bytes:
    """An error as OpenAI words it."""
    return json.dumps({"error": {"message": message, "type": "error", "param": None, "code": code}}).encode()


GARBAGE = (
    b"<html>502 upstream</html>",
    b'{"object": "chat.completion", "choices": []}',
    b'{"object": "chat.completion", "usage": {"prompt_tokens": 1}}',
    b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": ""}}]}',
    b'{"choices": [{"finish_reason": "stop", "mess',
    b"",
)
