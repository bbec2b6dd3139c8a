"""A judge is who decides a battle or gives a grade: an endpoint, a local model, a reward model, or a function."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from ropo_bench.recipes.method import OBJECT, Recipe

Kind = Literal["openai", "azure", "vllm-serve", "reward-model", "function"]
CHAT_KINDS = ("openai", "azure", "vllm-serve")


class Prices(Recipe):
    """US dollars for a million tokens, as `source` gave them."""

    input_per_million_usd: float = Field(ge=0)
    output_per_million_usd: float = Field(ge=0)
    source: str = Field(min_length=1)


class ServeRecipe(Recipe):
    """How `vllm serve` is started for a local judge.

    dtype: auto is the checkpoint's own on a GPU, float32 on a CPU. tensor_parallel_size: GPUs over which the model is
    split. gpu_memory_utilization: its share of their memory. max_model_len: tokens of question and answer together,
    None is the model's own. ready_seconds: how long loading may take.
    """

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    tensor_parallel_size: int = Field(default=1, ge=1)
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    max_model_len: int | None = Field(default=None, ge=1)
    ready_seconds: float = Field(default=1800.0, gt=0)


class JudgeRecipe(Recipe):
    """`judges/NAME.yaml`.

    kind: openai (any OpenAI-compatible endpoint), azure, vllm-serve (a local model that the harness serves
    itself), reward-model (sequence classification), function (exact, in Python).
    model: the id at the endpoint, a folder or hub id, or "module:object". base_url: None is the client's default.
    key_env: the environment variable that holds the key; None needs none. logprobs: whether the endpoint gives
    top_logprobs; without them a weighted preference is not claimed. params: in place of the protocol's own,
    None drops one. strict_model: whether an answer by another model ends the judging (--strict-model).
    max_concurrency: requests in flight. requests_per_minute: the endpoint's limit, if known. serve: for kind
    vllm-serve.
    """

    name: str
    description: str = Field(min_length=1)
    kind: Kind = "openai"
    model: str = Field(min_length=1)
    base_url: str | None = None
    key_env: str | None = "OPENAI_API_KEY"
    api_version: str | None = None
    logprobs: bool = True
    params: dict[str, Any] = Field(default_factory=dict)
    strict_model: bool = False
    max_concurrency: int = Field(default=64, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    timeout_seconds: float = Field(default=120.0, gt=0)
    max_attempts: int = Field(default=8, ge=1)
    prices: Prices | None = None
    serve: ServeRecipe | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The dump without newer keys that are at their default, so that older runs keep their names."""
        content: dict[str, Any] = dump(self)
        if not self.strict_model:
            content.pop("strict_model", None)
        return content

    @property
    def wanted_key(self) -> str | None:
        """The environment variable that must hold a key; None where no key is sent."""
        return self.key_env if self.kind in ("openai", "azure") else None

    @property
    def is_local(self) -> bool:
        """Whether its model runs on this machine, so that it must be here."""
        return self.kind in ("vllm-serve", "reward-model")

    @property
    def chats(self) -> bool:
        """Whether it is asked in words; the others grade answers directly."""
        return self.kind in CHAT_KINDS

    @field_validator("base_url")
    @classmethod
    def _without_secrets(cls, value: str | None) -> str | None:
        """Recipes are recorded and shown, so no address with a password or a key in it is let in (nor told again)."""
        if value is not None and re.search(r"[@?#]", value):
            raise PydanticCustomError(
                "secrets",
                "must have no name, password, query or fragment (a key belongs into key_env)",
                {"given": None},
            )
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "azure" and not (self.base_url and self.api_version):
            raise PydanticCustomError(
                "azure", "needs base_url and api_version for kind azure", {"key": ("kind",), "given": self.kind}
            )
        if self.kind == "function" and not OBJECT.fullmatch(self.model):
            raise PydanticCustomError(
                "function", 'must be "module:object" for kind function', {"key": ("model",), "given": self.model}
            )
        if self.kind != "vllm-serve" and self.serve is not None:
            raise PydanticCustomError(
                "serve", "is read for kind vllm-serve only; remove this key", {"key": ("serve",), "given": self.kind}
            )
        return self
