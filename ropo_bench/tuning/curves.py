"""From the outcomes of a method's trials to its curve, and to what is written down of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ropo_bench.leaderboard import estimators
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.rates import Point, Tuned, settings_key
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.items import read_scores
from ropo_bench.runs.provenance import provenance
from ropo_bench.statistics.cells import measure
from ropo_bench.statistics.sample import Array
from ropo_bench.store import Store
from ropo_bench.tuning.choice import Curve, choose, peak_of
from ropo_bench.tuning.trials import Outcome
from ropo_bench.types import Measurement, Score

Outcomes = Mapping[tuple[float, int], Outcome]
"""Of one method, by rate and seed."""


@dataclass(frozen=True)
class Curves:
    """Reads outcomes from a store: a task's first column against the rates of a grid."""

    store: Store
    task: TaskRecipe
    grid: Sequence[float]

    @property
    def sign(self) -> float:
        """With which higher is better."""
        return -1.0 if self.task.columns[0].better == "lower" else 1.0

    def curve(self, outcomes: Outcomes) -> Curve:
        """What can be chosen from: the rates that the first seed tried."""
        first = min(seed for _, seed in outcomes)
        rates = sorted(lr for lr, seed in outcomes if seed == first)
        return Curve(rates, [lr in self.grid for lr in rates], [self._values(outcomes, lr) for lr in rates])

    def choose(self, method: MethodRecipe, outcomes: Outcomes, finished: bool) -> Tuned:
        """A method's curve, and the choice if all its trials are done."""
        curve = self.curve(outcomes)
        peak, choice = peak_of(curve), choose(curve) if finished else None
        shares = [0.0] * len(curve.rates) if choice is None else choice.shares
        return Tuned(
            lr=None if choice is None else curve.rates[choice.index],
            value=None if choice is None else self.sign * choice.value,
            corrected=None if choice is None or choice.corrected is None else self.sign * choice.corrected,
            at_edge=peak is not None and curve.rates[peak] in (self.grid[0], self.grid[-1]),
            points=[self._point(outcomes, lr, share) for lr, share in zip(curve.rates, shares, strict=True)],
            settings_key=settings_key(method),
            code=self._code,
        )

    def cell(self, outcomes: Sequence[Outcome]) -> Measurement:
        """What the trials of one rate measured."""
        scores = [self._scores(outcome) for outcome in outcomes]
        return measure(self.task.name, self.task.columns[:1], scores, estimators())[0]

    @cached_property
    def _code(self) -> dict[str, Any]:
        return dict(provenance()["code"])

    def _point(self, outcomes: Outcomes, lr: float, share: float) -> Point:
        own = _of_rate(outcomes, lr)
        failures = [f"seed {o.trial.seed}: {o.failure}" for o in own if o.failure is not None]
        point = Point(lr=lr, on_grid=lr in self.grid, num_seeds=len(own), value=None, share=share, failures=failures)
        if failures:
            return point
        cell = self.cell(own)
        measured = {name: getattr(cell, name) for name in ("value", "standard_error", "low", "high")}
        return point.model_copy(update=measured)

    def _values(self, outcomes: Outcomes, lr: float) -> Array | None:
        """Scores (S, P) of a rate; None where a seed failed."""
        own = _of_rate(outcomes, lr)
        if any(outcome.scores is None for outcome in own):
            return None
        return self.sign * by_prompt([self._scores(outcome) for outcome in own], self.task.columns[0].metric)

    def _scores(self, outcome: Outcome) -> list[Score]:
        assert outcome.scores is not None
        return read_scores(self.store.stage("scores", outcome.scores))


def _of_rate(outcomes: Outcomes, lr: float) -> list[Outcome]:
    """By seed, the first seed first."""
    return [outcome for (rate, _), outcome in sorted(outcomes.items(), key=lambda item: item[0]) if rate == lr]


def by_prompt(scores: Sequence[Sequence[Score]], metric: str) -> Array:
    """Means (S, P) over the scored items of every prompt, prompts by name; NaN where none of them is scored."""
    prompts = sorted({score.cluster for own in scores for score in own if score.metric == metric})
    place = {prompt: index for index, prompt in enumerate(prompts)}
    total, number = np.zeros((len(scores), len(prompts))), np.zeros((len(scores), len(prompts)))
    for seed, own in enumerate(scores):
        for score in own:
            if score.metric == metric and score.value is not None:
                total[seed, place[score.cluster]] += score.value
                number[seed, place[score.cluster]] += 1
    return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
