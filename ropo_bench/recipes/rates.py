"""Learning rates as part of the answer: what `ropo-bench tune` found, and at which rates a run trains."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import settings
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.store import atomic_write_json, content_key, read_json


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Point(_Part):
    """One learning rate of a method's curve."""

    lr: float = Field(gt=0)
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
    points: list[Point] = Field(min_length=1)
    settings_key: str
    """Of everything in the method's recipe but its learning rate and the switches that change no number."""
    code: dict[str, Any]
    """Commit of the code that tried it, and whether the tree was dirty."""

    @property
    def near_peak(self) -> list[Point]:
        """What could be chosen: the peak and its neighbours, which were tried with all seeds."""
        most = max(point.num_seeds for point in self.points)
        return [point for point in self.points if point.num_seeds == most]


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
    """sha256 of the preference pairs."""
    grid: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    seeds: list[int]
    """Training seeds; the first tries every rate, all of them the peak and its neighbours."""
    draws: int
    """Bootstrap draws of the prompts behind `share` and `corrected`."""
    methods: dict[str, Tuned]

    @property
    def decades(self) -> float:
        """How far the grid reaches, in powers of ten."""
        return log10(self.grid[-1] / self.grid[0])

    def same_search(self, other: TuningRecord) -> bool:
        """Whether both chose by the same prompts, grid and seeds, so that their methods may stand side by side."""
        return self.model_dump(exclude={"methods"}) == other.model_dump(exclude={"methods"})


How = Literal["suite", "tuned", "curve"]
"""suite: the rates of recipes and overrides. tuned: those that a record chose. curve: these and their neighbours."""


class Neighbour(_Part):
    """A row that only tells what another choice would have cost its method."""

    method: str
    lr: float
    share: float
    """Of bootstrap draws of the validation prompts, how many chose this rate."""


class Rates(_Part):
    """At which rates a run trains, and the record that says how good they are; neighbours: by name of their row."""

    how: How
    tuning: TuningRecord | None = None
    """Of this run's methods alone; None where nobody tuned."""
    neighbours: dict[str, Neighbour] = {}

    def is_tuned(self, method: MethodRecipe, base: str, data: str | None) -> bool:
        """Whether a method trains at the rate that the record chose for just these settings, base and data."""
        if self.tuning is None or method.name not in self.tuning.methods:
            return False
        tuned = self.tuning.methods[method.name]
        same = (self.tuning.base, self.tuning.data, tuned.settings_key) == (base, data, settings_key(method))
        return same and tuned.lr == method.train.lr


def set_rates(
    how: str, methods: Sequence[MethodRecipe], tuning: TuningRecord | None
) -> tuple[list[MethodRecipe], Rates]:
    """The methods of a run at the rates that are asked for, and what is recorded of them.

    Raises UsageError for an unknown way, and where a method was never tuned, or with other settings.
    """
    if how not in get_args(How):
        raise UsageError(f"--rates {how}: give {', '.join(get_args(How)[:-1])} or {get_args(How)[-1]}")
    if tuning is not None:
        names = {method.name for method in methods}
        own = {name: tuned for name, tuned in tuning.methods.items() if name in names}
        tuning = tuning.model_copy(update={"methods": own})
    if how == "suite":
        return list(methods), Rates(how="suite", tuning=tuning)
    if tuning is None:
        raise UsageError(f"--rates {how}: the suite has no record of its rates; make one with: ropo-bench tune")
    rows: list[MethodRecipe] = []
    neighbours: dict[str, Neighbour] = {}
    for method in methods:
        tuned = _tuned_with(how, method, tuning)
        assert tuned.lr is not None
        rows.append(at_rate(method, tuned.lr))
        for point in tuned.near_peak if how == "curve" else []:
            if point.lr != tuned.lr and not point.failures:
                row = at_rate(method, point.lr).model_copy(update={"name": f"{method.name}@{point.lr:g}"})
                rows.append(row)
                neighbours[row.name] = Neighbour(method=method.name, lr=point.lr, share=point.share)
    return rows, Rates(how="tuned" if how == "tuned" else "curve", tuning=tuning, neighbours=neighbours)


def at_rate(method: MethodRecipe, lr: float) -> MethodRecipe:
    """The method with another learning rate."""
    return method.model_copy(update={"train": method.train.model_copy(update={"lr": lr})})


def _tuned_with(how: str, method: MethodRecipe, tuning: TuningRecord) -> Tuned:
    """What the record says of a method; raises UsageError where that is nothing, or of other settings."""
    tuned = tuning.methods.get(method.name)
    if tuned is None or tuned.lr is None:
        raise UsageError(
            f"--rates {how}: the record of suite {tuning.suite} chose no rate for {method.name}; "
            f"find one with: ropo-bench tune --suite {tuning.suite} --methods {method.name}"
        )
    if tuned.settings_key != settings_key(method):
        raise UsageError(
            f"--rates {how}: {method.name} was tuned with other settings (recipe, suite or --set); "
            "tune it anew with these, or take --rates suite"
        )
    return tuned


def settings_key(method: MethodRecipe) -> str:
    """Key of what a tuned rate holds for: the whole recipe but the rate itself and the core's switches."""
    content = settings(method)
    content["train"] = {key: value for key, value in content["train"].items() if key not in ("lr", "core")}
    return content_key("tuned", content)


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


def tuning_path(name: str) -> Path:
    """The file of a record: the project's own by its name, else a path."""
    if name.endswith(".json") or "/" in name:
        return Path(name).expanduser()
    package = Path(__file__).parents[1]
    installed = package / "_recipes" / "results" / "tuning"
    folder = installed if installed.is_dir() else package.parent / "results" / "tuning"
    return folder / f"{name}.json"


def write_tuning(path: Path, record: TuningRecord) -> None:
    """Write a record, whole or not at all."""
    atomic_write_json(path, record.model_dump())
