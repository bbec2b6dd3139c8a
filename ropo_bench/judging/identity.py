"""What makes two judges the same judge, and two requests the same request."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from ropo_bench.judges import JudgeRecipe
from ropo_bench.runs import JSON, canonical_json
from ropo_bench.types import JudgeCall

OPENAI_URL = "https://api.openai.com/v1"
LOGPROB_PARAMS = ("logprobs", "top_logprobs")


def base_url(judge: JudgeRecipe) -> str | None:
    """The address of the judge's endpoint; None where the harness serves the model itself."""
    if judge.kind not in ("openai", "azure"):
        return None
    return (judge.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).rstrip("/")


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
