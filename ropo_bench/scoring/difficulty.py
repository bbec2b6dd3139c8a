"""Prompt difficulties for length control: fitted once from reference models, frozen in a file, read in a run.

Frozen, because a difficulty that was refitted in a run would let one new row change every other cell.
Shapes: M reference models, X prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ropo_bench.errors import UsageError
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.length_control import Array, logistic
from ropo_bench.sources.options import option_path
from ropo_bench.store.bounded import parse_json, read_bounded
from ropo_bench.types import Prompt

ALPACA_EVAL = "asset:alpaca_eval/calibration/instruction_difficulty.csv"


def read_difficulties(task: TaskRecipe, prompts: Sequence[Prompt]) -> Mapping[str, float] | None:
    """The frozen difficulties that options.difficulties names, or None where the task has none.

    A JSON file {prompt id: float}; "pocket:NAME" is a shipped one, the asset ALPACA_EVAL is that benchmark's
    own, matched by instruction. Raises UsageError for a file that cannot be read or that lacks a prompt.
    """
    name = task.options.get("difficulties")
    if name is None:
        return None
    where = f"task {task.name}: difficulties {name}"
    found = _of_alpaca_eval(prompts) if name == ALPACA_EVAL else _of_file(str(name), where)
    missing = [prompt.id for prompt in prompts if prompt.id not in found]
    if missing:
        raise UsageError(
            f"{where}: has none for prompt {missing[0]!r} and {len(missing) - 1} more; fit difficulties for"
            " this prompt set, or leave them out (options: {difficulties: null}) and get lc_win_rate_nodiff"
        )
    return found


def _of_alpaca_eval(prompts: Sequence[Prompt]) -> Mapping[str, float]:
    from ropo_bench.scoring.alpaca_eval import calibration

    rows = calibration.rows_of([prompt.turns[0] for prompt in prompts])
    known = calibration.difficulties()
    return {prompt.id: float(known[row]) for prompt, row in zip(prompts, rows, strict=True) if row is not None}


def _of_file(name: str, where: str) -> Mapping[str, float]:
    try:
        return {str(key): float(value) for key, value in parse_json(read_bounded(option_path(name))).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{where}: cannot be read ({error}); give a JSON file of prompt id and difficulty"
        ) from error


def fit_difficulties(
    prompt_ids: Sequence[str], preferences: Array, length_deltas: Array, *, ridge: float = 0.5
) -> dict[str, float]:
    """How much easier than the average each prompt is to win, from reference models; to be frozen in a file.

    preferences, length_deltas (M, X): as for `control_length`, of M reference models (decoding variants of the
    baseline, trained models) on the same X prompts; NaN where there is none. One joint logistic model, as in
    arXiv 2404.04475 (section 3), logit = theta_m + phi_m tanh(delta/std_m) + gamma_x, with a ridge on gamma
    and phi; gamma is returned with mean 0 and standard deviation 1, so that the fixed C weighs it alike for
    every prompt set. All 0 where the models' preferences do not depend on the prompt.
    """
    num_models, num_prompts = preferences.shape
    known_MX = ~np.isnan(preferences)
    deviation_M1 = np.nanstd(length_deltas, axis=1, ddof=1, keepdims=True)
    deviation_M1[~(deviation_M1 > 0)] = np.inf
    tanh_MX = np.tanh(np.nan_to_num(length_deltas) / deviation_M1)
    model, prompt = np.nonzero(known_MX)
    features = np.zeros((len(model), 2 * num_models + num_prompts))
    row = np.arange(len(model))
    features[row, model] = 1.0
    features[row, num_models + model] = tanh_MX[known_MX]
    features[row, 2 * num_models + prompt] = 1.0
    # A trace of ridge on theta only keeps a model that always wins finite.
    penalty = np.concatenate([np.full(num_models, 1e-3), np.full(num_models + num_prompts, ridge)])
    gamma = _newton(features, preferences[known_MX], penalty)[2 * num_models :]
    gamma -= gamma.mean()
    spread = gamma.std()
    gamma = gamma / spread if spread > 1e-6 else np.zeros_like(gamma)
    return {name: round(float(value), 6) for name, value in zip(prompt_ids, gamma, strict=True)}


def _newton(features: Array, target: Array, penalty: Array) -> Array:
    """Minimise log-loss + penalty/2 * w^2; convex and smooth, so that a damped Newton method ends."""
    coefficients = np.zeros(features.shape[1])

    def objective(w: Array) -> float:
        z = features @ w
        return float((np.logaddexp(0, z) - target * z).sum() + 0.5 * (penalty * w * w).sum())

    for _ in range(100):
        probability = logistic(features @ coefficients)
        gradient = features.T @ (probability - target) + penalty * coefficients
        hessian = (features.T * (probability * (1 - probability))) @ features + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-6 and objective(coefficients - size * step) > objective(coefficients):
            size /= 2
        coefficients = coefficients - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return coefficients
