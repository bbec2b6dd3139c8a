"""The whole search: every method over the grid, then finer and with more seeds around its peak; kept as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ropo_bench.errors import MethodFailed
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.rates import Tuned, TuningRecord
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.stages import completions, pairs, preflight
from ropo_bench.stages.bench import Bench
from ropo_bench.terminal.progress import duration_text
from ropo_bench.tuning.choice import DRAWS, peak_of
from ropo_bench.tuning.curves import Curves
from ropo_bench.tuning.grid import half_steps, is_near
from ropo_bench.tuning.trials import Outcome, Trial
from ropo_bench.tuning.workers import run_trials

FIRST_SEED = 100
"""Of the training seeds of trials: not those of a run, whose models would have been chosen for their luck."""


@dataclass
class Search:
    """One search, and what came of it so far. keep: called with the record after every trial."""

    bench: Bench
    task: TaskRecipe
    methods: Sequence[MethodRecipe]
    grid: Sequence[float]
    num_seeds: int
    workers: int
    keep: Callable[[TuningRecord], None]
    outcomes: dict[str, dict[tuple[float, int], Outcome]] = field(default_factory=dict)
    tuned: dict[str, Tuned] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """Training seeds of the trials."""
        return list(range(FIRST_SEED, FIRST_SEED + self.num_seeds))

    @property
    def curves(self) -> Curves:
        """Where outcomes become curves."""
        return Curves(self.bench.store, self.task, self.grid)

    def run(self) -> TuningRecord:
        """Do all trials but those that were done before; one that failed is tried again.

        Raises UsageError for what cannot be, before the first, and MethodFailed for an adapter that fails.
        """
        for name, reason in preflight.check_methods(self.bench, self.methods).items():
            raise MethodFailed(f"{name}: {reason}")
        preflight.check_tasks(self.bench, [self.task])
        completions.make(self.bench, self.bench.base, self.task, "SFT")
        self.bench.close_engine()
        self._do([Trial(method, lr, FIRST_SEED) for method in self.methods for lr in self.grid], "over the grid")
        self._do([trial for method in self.methods for trial in self._around_peak(method)], "around the peaks")
        for method in self.methods:
            self.tuned[method.name] = self.curves.choose(method, self.outcomes[method.name], True)
        self.keep(self.record())
        return self.record()

    def record(self) -> TuningRecord:
        """The record as it stands; nothing is chosen before all trials are done."""
        bench = self.bench
        answers = completions.stage(bench, bench.base, self.task)
        return TuningRecord(
            suite=bench.suite.name,
            task=self.task.name,
            metric=self.task.columns[0].metric,
            num_prompts=answers.manifest["num_completions"],
            base=bench.base.key,
            data=pairs.make(bench).manifest["sha256"],
            grid=list(self.grid),
            seeds=self.seeds,
            draws=DRAWS,
            methods=dict(self.tuned),
        )

    def _do(self, trials: Sequence[Trial], what: str) -> None:
        """Run trials, with one line each, and write each down."""
        note, began, fresh = self.bench.progress.note, time.perf_counter(), 0
        note(f"tune: {len(trials)} trials {what}")
        for number, outcome in enumerate(run_trials(self.bench, self.task, trials, self.workers), 1):
            trial = outcome.trial
            outcomes = self.outcomes.setdefault(trial.method.name, {})
            outcomes[trial.lr, trial.seed] = outcome
            fresh += outcome.seconds > 0
            took = duration_text(outcome.seconds) if outcome.seconds else "done before"
            left = (time.perf_counter() - began) / max(fresh, 1) * (len(trials) - number)
            ahead = f", {duration_text(left)} left" if fresh and left else ""
            note(
                f"{trial.method.name} lr {trial.lr:g} seed {trial.seed}: {self._describe(outcome)}"
                f" ({number}/{len(trials)}, {took}{ahead})"
            )
            if any(seed == FIRST_SEED for _, seed in outcomes):
                self.tuned[trial.method.name] = self.curves.choose(trial.method, outcomes, False)
                self.keep(self.record())

    def _describe(self, outcome: Outcome) -> str:
        if outcome.failure is not None:
            return f"failed: {outcome.failure}"
        cell = self.curves.cell([outcome])
        return f"{cell.metric} " + ("unscored" if cell.value is None else f"{cell.value:.1f}")

    def _around_peak(self, method: MethodRecipe) -> list[Trial]:
        """Half steps around the peak and, with the other seeds, all that is near it: for every method as many."""
        curve = self.curves.curve(self.outcomes[method.name])
        peak = peak_of(curve)
        if peak is None:
            return []
        rate, tried = curve.rates[peak], self.outcomes[method.name]
        near = [lr for lr in self.grid if is_near(lr, rate)] + half_steps(rate, self.grid)
        return [Trial(method, lr, seed) for lr in sorted(near) for seed in self.seeds if (lr, seed) not in tried]
