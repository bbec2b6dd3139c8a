"""What makes two judges the same judge, and two requests the same request."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any
from urllib.parse import urlsplit

from ropo_bench.errors import UsageError
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.store import JSON, canonical_json
from ropo_bench.types import JudgeAnswer, JudgeCall

OPENAI_URL = "https://api.openai.com/v1"
_SNAPSHOT = re.compile(r"[-@:_](\d{4}|\d{6}|\d{8}|\d{4}-\d{2}-\d{2})")
LOGPROB_PARAMS = ("logprobs", "top_logprobs")


def base_url(judge: JudgeRecipe) -> str | None:
    """The address of the judge's endpoint; None where the harness serves the model itself."""
    if judge.kind not in ("openai", "azure"):
        return None
    return (judge.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).rstrip("/")


def is_loopback(endpoint: str) -> bool:
    """Whether an address is on this machine, where an endpoint needs no key and no proxy leads."""
    host = urlsplit(endpoint).hostname or ""
    return host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def is_same_model(requested: str, answered: str) -> bool:
    """Whether an endpoint's name of who answered can mean the model that was asked for.

    Endpoints add the date of a snapshot (gpt-4.1 is gpt-4.1-2025-04-14; gpt-4 is gpt-4-0613, but not gpt-4-turbo) and
    leave out or add who made it (openai/gpt-4.1) or the folder (/models/mine).
    """
    wanted, given = (name.casefold().rstrip("/").rpartition("/")[2] for name in (requested, answered))
    return given == wanted or (given.startswith(wanted) and bool(_SNAPSHOT.fullmatch(given[len(wanted) :])))


def is_other_model(judge: JudgeRecipe, name: str | None) -> bool:
    """Whether who answered is not who was asked; Azure's deployments have names of their own."""
    return name is not None and judge.kind != "azure" and not is_same_model(judge.model, name)


def refuse_other_model(judge: JudgeRecipe, answer: JudgeAnswer) -> None:
    """Raise UsageError for an answer of another model, where the judge is strict about it.

    As for a model that the endpoint does not know: the recipe names a judge that is not there, so it wants mending.
    """
    if judge.strict_model and is_other_model(judge, answer.model):
        raise UsageError(
            f"judge {judge.name}: model {judge.model!r} was asked and {answer.model!r} answered; correct model or"
            " base_url in the judge's recipe, or leave --strict-model (strict_model) out to have such answers counted"
        )


def judge_identity(judge: JudgeRecipe) -> dict[str, JSON]:
    """Everything that can change a judge's answer to given words; its name, limits and prices cannot."""
    served = judge.serve.model_dump(include={"dtype", "max_model_len"}) if judge.serve else None
    return {
        "serve": served,
        "kind": judge.kind,
        "model": judge.model,
        "base_url": base_url(judge),
        "api_version": judge.api_version,
        "params": judge.params,
        "logprobs": judge.logprobs,
    }


def final_params(judge: JudgeRecipe, call: JudgeCall) -> dict[str, Any]:
    """The parameters that are sent: the protocol's, those of the judge in their place, None dropped.

    An endpoint without log-probabilities is not asked for them.
    """
    params = {**call.params, **judge.params}
    dropped = () if judge.logprobs else LOGPROB_PARAMS
    return {name: value for name, value in params.items() if value is not None and name not in dropped}


def request_key(judge: JudgeRecipe, call: JudgeCall) -> str:
    """The key of a request and its answer: sha256 over judge, messages and parameters; the item is not in it."""
    request: dict[str, JSON] = {
        "judge": judge_identity(judge),
        "messages": [{"role": m["role"], "content": m["content"]} for m in call.messages],
        "params": final_params(judge, call),
    }
    return hashlib.sha256(canonical_json(request).encode()).hexdigest()
