"""A task is a group of columns: prompts, how they are decoded, who scores them, and what is shown."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from ropo_bench.recipes.method import Recipe


class Decoding(Recipe):
    """How completions are drawn.

    temperature 0 is greedy; temperatures holds those of prompt categories that differ. num_samples: draws a
    prompt. batch_size: prompts a batch of the hf backend, its unit of resume. seed: every batch (hf) or answer
    (vllm) is drawn from a stream of its own, so that a resumed run gives the same text (hf). thoughts: drop leaves
    what a model writes up to </think> out of its answers, which are judged, measured and answered on without it; keep
    makes it part of them.
    """

    max_new_tokens: int = Field(ge=1)
    temperature: float = Field(default=0.0, ge=0)
    temperatures: dict[str, float] = Field(default_factory=dict)
    top_p: float = Field(default=1.0, gt=0, le=1)
    num_samples: int = Field(default=1, ge=1)
    batch_size: int = Field(default=64, ge=1)
    seed: int = Field(default=0, ge=0)
    thoughts: Literal["drop", "keep"] = "drop"

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The dump without newer keys that are at their default, so that older runs keep their names and keys."""
        content: dict[str, Any] = dump(self)
        if self.thoughts == "drop":
            content.pop("thoughts", None)
        return content


class Column(Recipe):
    """One metric of a task as a column of the leaderboard.

    estimator: a name in `statistics.ESTIMATORS` or `scoring.ESTIMATORS`. tested: whether rows are compared on it,
    adjusted over all comparisons of a table; None: the first column of its task that has a better direction. split:
    source -> standard deviation of one observation (Measurement.split), to plan with before anything is measured,
    difference_SOURCE those in the paired difference of two rows, reference_SOURCE those of a row less the SFT model
    (common: what a seed does to all rows); where they come from stands beside them. scale: the least and the greatest
    value that it can have, which its intervals then respect.
    """

    metric: str
    header: str
    estimator: str = "mean"
    decimals: int = Field(default=2, ge=0, le=8)
    better: Literal["higher", "lower", "none"] = "higher"
    tested: bool | None = None
    split: dict[str, float] = Field(default_factory=dict)
    scale: list[float] | None = Field(default=None, min_length=2, max_length=2)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise PydanticCustomError(
                "falling", "must be [least, greatest], given {given}", {"key": ("scale",), "given": self.scale}
            )
        return self

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The ends of its scale."""
        return None if self.scale is None else (self.scale[0], self.scale[1])


class TaskRecipe(Recipe):
    """`tasks/NAME.yaml`.

    prompts: where the items come from ("pocket:chat", "mt-bench", "alpaca-eval-2", a file); None where the scorer
    reads the merged model itself (commonsense, energy), then decoding is None too. baseline: answers of a fixed
    opponent ("alpaca-eval-2", a file); None is the base model. scorer: a short name or "module:object".
    judge: the recipe in judges/ of a judged scorer, which a suite or --judge replaces.
    """

    name: str
    description: str = Field(min_length=1)
    prompts: str | None = None
    decoding: Decoding | None = None
    baseline: str | None = None
    scorer: str
    judge: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    columns: list[Column] = Field(min_length=1)

    def is_first(self, column: Column) -> bool:
        """Whether a column is the first one of its task that rows are compared on."""
        return column is next((candidate for candidate in self.columns if self.is_tested(candidate)), None)

    def is_tested(self, column: Column) -> bool:
        """Whether rows are compared on one of this task's columns (see Column.tested)."""
        if column.tested is not None:
            return column.tested
        return column is next((candidate for candidate in self.columns if candidate.better != "none"), None)

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.prompts is None) != (self.decoding is None):
            given, other = ("decoding", "prompts") if self.prompts is None else ("prompts", "decoding")
            raise PydanticCustomError(
                "half",
                "needs {other} beside it",
                {"key": (given,), "other": other, "given": None},
            )
        return self
