"""What `ropo-bench tune` found: every method's score against its learning rate, and the rate that was chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ropo_bench.errors import UsageError
from ropo_bench.methods import MethodRecipe
from ropo_bench.recipes import settings
from ropo_bench.runs import atomic_write_json, content_key, read_json


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Point(_Part):
    """One learning rate of a method's curve."""

    lr: float
    on_grid: bool
    """Whether it is a point of the grid, or of the refinement around the peak."""
    num_seeds: int
    """Seeds that were tried."""
    value: float | None
    """Mean over seeds and prompts of the metric that is chosen by; None where a trial failed or nothing is scored."""
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    """95 % interval, over prompts alone with one seed, else over prompts and seeds."""
    share: float = 0.0
    """Of bootstrap draws of the prompts, how many chose this rate."""
    failures: list[str] = []
    """What failed, as "seed 100: the loss became NaN"; a failed point is never chosen."""


class Tuned(_Part):
    """One method's curve and choice."""

    lr: float | None
    """The chosen rate; None where the curve is not finished or every trial failed."""
    value: float | None
    """The chosen rate's value, flattered by being the best of several."""
    corrected: float | None
    """The same without the flattery: what rates chosen on drawn prompts are worth on the prompts left out."""
    at_edge: bool
    """Whether the peak lies at an end of the grid, so that a better rate may lie beyond."""
    points: list[Point]
    settings_key: str
    """Of everything in the method's recipe but its learning rate and the switches that change no number."""
    code: dict[str, Any]
    """Commit of the code that tried it, and whether the tree was dirty."""


class TuningRecord(_Part):
    """One search over the methods of a suite, each with the same grid and the same number of trials."""

    schema_version: Literal[1] = 1
    suite: str
    task: str
    metric: str
    num_prompts: int
    base: str
    """Content key of the base model."""
    data: str
    """Content key of the preference pairs."""
    grid: list[float]
    seeds: list[int]
    """Training seeds; the first tries every rate, all of them the peak and its neighbours."""
    draws: int
    """Bootstrap draws of the prompts behind `share` and `corrected`."""
    methods: dict[str, Tuned]

    @property
    def decades(self) -> float:
        """How far the grid reaches, in powers of ten."""
        from math import log10

        return log10(self.grid[-1] / self.grid[0])

    def same_search(self, other: TuningRecord) -> bool:
        """Whether both chose by the same prompts, grid and seeds, so that their methods may stand side by side."""
        return self.model_dump(exclude={"methods"}) == other.model_dump(exclude={"methods"})


def settings_key(method: MethodRecipe) -> str:
    """Key of what a tuned rate holds for: the whole recipe but the rate itself and the core's switches."""
    kept = settings(method)
    kept["train"] = {key: value for key, value in kept["train"].items() if key not in ("lr", "core")}
    return content_key("tuned", kept)


def read_tuning(path: Path) -> TuningRecord:
    """A record that `tune` wrote; raises UsageError for a file that is none."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file; make it with: ropo-bench tune --out {path}")
    try:
        return TuningRecord.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: no record of `ropo-bench tune` ({where}: {first['msg']}); make it again") from None


def write_tuning(path: Path, record: TuningRecord) -> None:
    """Write a record, whole or not at all."""
    atomic_write_json(path, record.model_dump())
