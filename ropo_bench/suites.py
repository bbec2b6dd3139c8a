"""A suite is a table: base model, preference data, tasks, schedule and limits of the merge certificate."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ropo_bench.methods import Recipe


class MergeRecipe(Recipe):
    """The merged model's dtype and the limits of its certificate.

    top1_agreement: least share of probe tokens with the same argmax. mean_kl: most KL(adapter || merged), in
    nats a token. surviving_share: least share of the update that survives the cast, read below float32.
    orthogonality: most max |R^T R - I|.
    """

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    top1_agreement: float = Field(default=0.999, ge=0, le=1)
    mean_kl: float = Field(default=1e-5, ge=0)
    surviving_share: float = Field(default=0.5, ge=0, le=1)
    orthogonality: float = Field(default=1e-5, ge=0)


class SuiteRecipe(Recipe):
    """`suites/NAME.yaml`.

    base: "pocket:sft", a model folder or a hub id. data: preference pairs ("pocket:preference", a file, a hub
    id). validation: the task whose first column `ropo-bench tune` selects by. train: keys of TrainRecipe for all
    methods. overrides: method -> {"train.lr": value}, for figures that depend on the base model and were found
    with the same budget for all methods.
    """

    name: str
    description: str = Field(min_length=1)
    base: str
    data: str
    validation: str | None = None
    tasks: list[str] = Field(min_length=1)
    train: dict[str, Any] = Field(default_factory=dict)
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    merge: MergeRecipe = MergeRecipe()
    seeds: int = Field(default=1, ge=1)
