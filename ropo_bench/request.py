"""What a user asked for (--methods, --suite, --tasks, --judge ...): every name resolved once, from recipe files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import check_row_name
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.load import load_judge, load_methods, load_suite, load_task
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.rates import Rates, read_tuning, set_rates, tuning_path
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.record import SFT, RequestRecord
from ropo_bench.scoring import is_judged
from ropo_bench.store import content_key

if TYPE_CHECKING:
    from ropo_bench.judging.ledger import Budget


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line said; None and empty: the suite decides."""

    methods: str
    suite: str
    seeds: int | None = None
    base: str | None = None
    data: str | None = None
    tasks: str | None = None
    judge: str | None = None
    backend: str | None = None
    checkpoints: Sequence[str] = ()
    sets: Sequence[str] = ()
    include: Sequence[Path] = ()
    canaries: bool = True
    first_seed: int = 0
    rates: str = "suite"
    tuning: Path | None = None
    strict_model: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent on judges; None is no limit."""

    calls: int | None = None
    usd: float | None = None


@dataclass(frozen=True)
class Request:
    """What a user asked for, fully resolved: no name in it needs a recipe file any more.

    seeds: how many a method, counted from first_seed. judges: by the name of the task that they judge. canaries:
    whether they are checked for bias first. rates: how the methods' learning rates were chosen.
    """

    suite: SuiteRecipe
    tasks: Sequence[TaskRecipe]
    methods: Sequence[MethodRecipe]
    seeds: int
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    judges: Mapping[str, JudgeRecipe] = field(default_factory=dict)
    canaries: bool = True
    first_seed: int = 0
    rates: Rates = field(default_factory=lambda: Rates(how="suite"))

    @property
    def training_seeds(self) -> range:
        """The seeds of every method."""
        return range(self.first_seed, self.first_seed + self.seeds)

    def record(self) -> RequestRecord:
        """The request as the record of its run holds it."""
        return RequestRecord(
            suite=self.suite,
            tasks=list(self.tasks),
            methods=list(self.methods),
            seeds=self.seeds,
            checkpoints=dict(self.checkpoints),
            judges=dict(self.judges),
            canaries=self.canaries,
            first_seed=self.first_seed,
            rates=self.rates,
        )

    def run_name(self) -> str:
        """The default name of its run: the suite and a hash of everything asked for."""
        return f"{self.suite.name}-{content_key('run', self.record().model_dump())[:8]}"


def resolve(asked: Asked) -> Request:
    """A request with every recipe read; raises UsageError for the first thing that is wrong."""
    suite = load_suite(asked.suite, include=asked.include)
    choices = {"base": asked.base, "data": asked.data, "judge": asked.judge, "backend": asked.backend}
    changes: dict[str, Any] = {key: value for key, value in choices.items() if value is not None}
    if asked.tasks is not None:
        changes["tasks"] = _names(asked.tasks)
    suite = SuiteRecipe.model_validate(suite.model_dump() | changes)
    rows = load_methods(asked.methods, suite=suite, sets=asked.sets, include=asked.include) if asked.methods else []
    rows, rates = _rates(asked, suite, rows)
    tasks = [suite.with_decoding(load_task(task, include=asked.include)) for task in suite.tasks]
    return Request(
        suite=suite,
        tasks=tasks,
        methods=rows,
        seeds=asked.seeds or suite.seeds,
        checkpoints=_checkpoints(asked.checkpoints, {SFT, *(method.name for method in rows)}),
        rates=rates,
        judges=_judges(tasks, suite, asked),
        canaries=asked.canaries,
        first_seed=asked.first_seed,
    )


def _rates(asked: Asked, suite: SuiteRecipe, methods: list[MethodRecipe]) -> tuple[list[MethodRecipe], Rates]:
    """The methods at the rates that are asked for; the suite's own record is read where it is there."""
    tuning = None
    if asked.tuning is not None:
        tuning = read_tuning(asked.tuning)
    elif suite.tuning is not None and tuning_path(suite.tuning).exists():
        tuning = read_tuning(tuning_path(suite.tuning))
    rate_sets = [text for text in asked.sets if text.partition("=")[0].endswith("train.lr")]
    if asked.rates != "suite" and rate_sets:
        raise UsageError(
            f"--set {rate_sets[0]}: --rates {asked.rates} sets the learning rates; leave one of them out"
        )
    return set_rates(asked.rates, methods, tuning)


def _rate_names(method: str) -> set[str]:
    """Names that a suite may give the method's rate under: its own and, for LOSS+ADAPTER, the adapter's method."""
    return {method, method.rpartition("+")[2]}


def untuned_methods(request: Request) -> list[str]:
    """Methods that a suite with overrides has none for: they train with figures for another size of model."""
    tuned = request.suite.overrides
    if request.rates.how != "suite":
        return []
    return [method.name for method in request.methods if tuned and not _rate_names(method.name) & tuned.keys()]


def _judges(tasks: Sequence[TaskRecipe], suite: SuiteRecipe, asked: Asked) -> Mapping[str, JudgeRecipe]:
    """The judge of every judged task: the suite's, else the task's own."""
    # Loaded before it is asked for: a name that is wrong is wrong even where no task has a judge.
    every = None if suite.judge is None else load_judge(suite.judge, include=asked.include)
    judges = {}
    for task in tasks:
        if task.judge is not None or (every is not None and is_judged(task)):
            judge = every or load_judge(str(task.judge), include=asked.include)
            judges[task.name] = judge.model_copy(update={"strict_model": judge.strict_model or asked.strict_model})
    return judges


def budget_of(request: Request, limits: Limits) -> Budget | None:
    """What the judges of a request may spend; None where nobody is asked."""
    if not request.judges:
        return None
    from ropo_bench.judging.ledger import Budget

    return Budget(limits.calls, limits.usd)


def _names(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",")]
    if "" in names:
        raise UsageError(f"--tasks {text!r}: expected names with commas between, such as mt-bench,alpaca-eval-2")
    return names


def _checkpoints(given: Sequence[str], taken: set[str]) -> dict[str, str]:
    paths: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UsageError(f"--checkpoint {text}: give NAME=FOLDER or NAME=org/model")
        check_row_name(name, "--checkpoint")
        if name in paths or name in taken:
            raise UsageError(f"--checkpoint {text}: the name {name} is taken; choose another")
        paths[name] = path
    return paths
