"""What a reader of one cell must know that its number does not say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ropo_bench.recipes.task import Column
from ropo_bench.scoring.length_control import length_shift, shift_caution
from ropo_bench.statistics.estimators import mean, ratio
from ropo_bench.types import Score

LENGTH_CONTROLLED = ("lc_win_rate", "alpaca_lc_win_rate")
"""Estimators of length-controlled win rates."""


def find_cautions(columns: Sequence[Column], scores_by_seed: Sequence[Sequence[Score]]) -> list[str]:
    """Sentences about one row's cells; scores_by_seed: one sequence a training seed.

    Where a judge's answers hold marks of different meaning: how many of them. Where prompts differ in their scored
    items: what the mean of prompts would be beside the mean over items. Where length control extrapolates: how far.
    """
    cautions = _ambiguous(scores_by_seed)
    for column in columns:
        scored = [
            [score for score in scores if score.metric == column.metric and score.value is not None]
            for scores in scores_by_seed
        ]
        if not scored or not all(scored):
            continue
        if column.estimator == "ratio":
            cautions += _two_means(column, scored)
        elif column.estimator in LENGTH_CONTROLLED:
            cautions += _shift(column, scored)
    return cautions


def _ambiguous(scores_by_seed: Sequence[Sequence[Score]]) -> list[str]:
    """How many of the judged items hold verdicts that weigh different marks."""
    items = [(seed, score.item) for seed, scores in enumerate(scores_by_seed) for score in scores]
    doubtful = {
        (seed, score.item)
        for seed, scores in enumerate(scores_by_seed)
        for score in scores
        if score.detail.get("ambiguous")
    }
    if not doubtful:
        return []
    return [
        f"{len(doubtful)} of {len(set(items))} items were judged in words that hold different marks; the task's"
        " options.verdict says which of them is the verdict (the last, unless it is set)"
    ]


def _two_means(column: Column, scored: Sequence[Sequence[Score]]) -> list[str]:
    """The mean over items beside the mean of prompts, where two decimals tell them apart."""
    by_item, by_prompt = (f"{estimator(scored).value:.2f}" for estimator in (ratio, mean))
    if by_item == by_prompt:
        return []
    return [
        f"{column.metric} {by_item} is the mean over scored items, of which prompts have different numbers; the mean"
        f" of prompts' means is {by_prompt}"
    ]


def _shift(column: Column, scored: Sequence[Sequence[Score]]) -> list[str]:
    """The largest shift of a seed, where it is beyond what length control bears."""
    deltas = [np.array([score.detail["length_delta"] for score in scores], dtype=float) for scores in scored]
    shifts = [length_shift(delta_X) for delta_X in deltas]
    worst = max(range(len(shifts)), key=lambda seed: abs(shifts[seed]))
    caution = shift_caution(shifts[worst], len(deltas[worst]))
    return [] if caution is None else [f"{column.metric}: {caution}"]
