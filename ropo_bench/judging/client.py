"""One request to a chat endpoint, through the `openai` client: a complete answer, or what went wrong.

Nothing is retried here and no exception leaves: the client's own carry the request, and with it the key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ropo_bench.errors import UsageError
from ropo_bench.judging.identity import base_url, is_loopback
from ropo_bench.judging.reply import Failure, Kind, Reply, read_completion
from ropo_bench.judging.transport import UnreadableBody, bounded_client
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.types import JudgeAnswer, Message

if TYPE_CHECKING:
    from openai import AsyncOpenAI

NO_KEY = "none"  # what local endpoints get, because the client wants some
SECRET_CHARACTERS = 8  # a shorter "key" is a placeholder such as EMPTY, and may well stand in an answer
KEYS = re.compile(r"(?i)\bbearer\s+\S+|\bsk-[\w*.-]{6,}")
REASON_CHARACTERS = 300
LATE_SECONDS = 1.0  # after the time is up: on a busy machine an answer may be here before its reader is
CLOSE_SECONDS = 0.5


class JudgeClient:
    """One `openai` client and connection pool; make it and close it inside one event loop.

    Raises UsageError where the key or the endpoint cannot be what is meant.
    """

    def __init__(self, judge: JudgeRecipe, endpoint: str | None = None) -> None:
        import openai

        for name in ("httpx", "httpx2"):
            logging.getLogger(name).setLevel(logging.WARNING)  # a line for each request is no news
        self.endpoint = endpoint or base_url(judge) or ""
        self._judge, self._openai = judge, openai
        self._key = check_access(judge, self.endpoint)
        # No time limit in the client: `ask` has one for the whole request, and theirs is for each byte.
        shared: dict[str, Any] = {
            "api_key": self._key,
            "max_retries": 0,
            "timeout": None,
            "http_client": bounded_client(openai, trust_env=not is_loopback(self.endpoint)),  # no proxy reaches us
        }
        self._client: AsyncOpenAI
        if judge.kind == "azure":
            self._client = openai.AsyncAzureOpenAI(
                azure_endpoint=self.endpoint, api_version=judge.api_version, **shared
            )
        else:
            self._client = openai.AsyncOpenAI(base_url=self.endpoint, **shared)

    async def close(self) -> None:
        """Close all connections; one that does not hear of it is left to the end of the process."""
        await asyncio.wait({asyncio.ensure_future(self._client.close())}, timeout=CLOSE_SECONDS)

    async def ask(self, messages: Sequence[Message], params: Mapping[str, Any]) -> Reply | Failure:
        """Send one request, once, and wait for its whole answer for the judge's timeout_seconds."""
        body = {**params, "model": self._judge.model, "messages": list(messages)}
        # As text: the client's own parsing into pydantic models costs more than everything else together.
        request = asyncio.ensure_future(self._client.post("/chat/completions", body=body, cast_to=str))
        request.add_done_callback(_look_at_error)
        try:
            for seconds in (self._judge.timeout_seconds, min(self._judge.timeout_seconds, LATE_SECONDS)):
                if not request.done():
                    await asyncio.wait({request}, timeout=seconds)
            if not request.done():
                request.cancel()
                await asyncio.wait({request}, timeout=CLOSE_SECONDS)
        finally:
            request.cancel()
        if not request.done() or request.cancelled():
            return Failure("overloaded", f"no answer within {self._judge.timeout_seconds:g} s", billed=True)
        error = request.exception()
        if error is not None:
            return self._failure(error)
        reply = read_completion(request.result())
        return self._redact(reply) if isinstance(reply, Reply) else reply

    def _redact(self, reply: Reply) -> Reply:
        """The reply without this key, should the endpoint have echoed it; after parsing, which undoes escapes."""
        if len(self._key) < SECRET_CHARACTERS:
            return reply

        def clean(text: str) -> str:
            return text.replace(self._key, "[key]")

        given = reply.answer
        top = given.top_logprobs and {clean(token): nats for token, nats in given.top_logprobs.items()}
        answer = JudgeAnswer(clean(given.text), top, clean(given.finish_reason), given.model and clean(given.model))
        return replace(reply, answer=answer)

    def _failure(self, error: BaseException) -> Failure:
        if isinstance(error, self._openai.APIStatusError):
            return self._status_failure(error.status_code, error.response.headers, error.code, error.body, str(error))
        for reason in (error, error.__cause__):  # some versions of the client wrap it
            if isinstance(reason, UnreadableBody):
                return Failure("garbage", self._clean(str(reason)), billed=True)
        if isinstance(error, self._openai.APIConnectionError):
            cause = type(error.__cause__).__name__
            kind: Kind = "unreachable" if cause == "ConnectError" else "overloaded"
            text = self._clean(f"{error} {cause}: {error.__cause__}")
            return Failure(kind, text, billed=kind == "overloaded")
        return Failure("refused", self._clean(f"cannot be sent: {type(error).__name__}: {error}"))

    def _status_failure(
        self, status: int, headers: Mapping[str, str], code: str | None, body: object, message: str
    ) -> Failure:
        if isinstance(body, dict) and isinstance(body.get("message"), str):
            message = body["message"]
        if is_redirect(status):
            host = "another address"
            with contextlib.suppress(ValueError):
                host = urlsplit(str(headers.get("location", ""))).hostname or host
            message = f"it redirects to {host}, where neither prompts nor a key are sent"
        reason = self._clean(f"{status}: {message}")
        pause = retry_after(headers)
        if status == 429:
            spent = code == "insufficient_quota" or (
                isinstance(body, dict) and body.get("type") == "insufficient_quota"
            )
            return Failure("no-quota" if spent else "throttled", reason, status, pause)
        if status >= 500 or status in (408, 409, 425):
            return Failure("overloaded", reason, status, pause)
        return Failure("refused", reason, status)

    def _clean(self, text: str) -> str:
        """A message in one line that a terminal may show, without this key and whatever else looks like one."""
        if len(self._key) >= SECRET_CHARACTERS:
            text = text.replace(self._key, "[key]")
        line = " ".join(KEYS.sub("[key]", text).split())[:REASON_CHARACTERS]
        return "".join(letter if letter.isprintable() else "?" for letter in line)


def is_redirect(status: int | None) -> bool:
    """Whether an HTTP status sends the request elsewhere."""
    return status is not None and 300 <= status < 400


def _look_at_error(request: asyncio.Task[str]) -> None:
    """Else asyncio would log the errors of requests that nobody waits for any more, and what servers echo in them."""
    if not request.cancelled():
        request.exception()


def check_access(judge: JudgeRecipe, endpoint: str) -> str:
    """The key for an endpoint; raises UsageError where there is none, or the address cannot be what is meant."""
    address = urlsplit(endpoint)
    secrets = (address.username, address.password, address.query, address.fragment)
    if address.scheme not in ("http", "https") or not address.hostname or any(secrets):
        raise UsageError(
            f"judge {judge.name}: base_url (or OPENAI_BASE_URL) must be http(s)://HOST/PATH without a name, password,"
            " query or fragment; a key belongs into the environment variable key_env"
        )
    if judge.wanted_key is None:
        return NO_KEY
    assert judge.key_env is not None
    key = os.environ.get(judge.key_env, "").strip()
    if not key and is_loopback(endpoint):
        return NO_KEY
    if not key:
        raise UsageError(
            f"judge {judge.name}: the environment variable {judge.key_env} is not set; "
            f"put your key for {endpoint} into it, or name another one as key_env in the judge's recipe"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(
            f"judge {judge.name}: the environment variable {judge.key_env} holds spaces or characters that "
            "no key has; set it again"
        )
    return key


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds >= 0 that an endpoint asks to wait: `retry-after-ms`, or `Retry-After` as seconds or as a date."""
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    value = headers.get("retry-after")
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    return None
