"""alpaca_eval's own code where it defines the number: its parser and its length-control model.

The package is imported on use. It sets the root logger to INFO and reads a .env file on import, switches
scikit-learn's metadata routing on in a fit, downloads its calibration from the hub and saves weights into its own
installation: none of this happens here.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ropo_bench.scoring.alpaca_eval.estimator import GAMED
from ropo_bench.scoring.alpaca_eval.leaderboard import Annotation
from ropo_bench.sources.assets import asset

GLM = "length_controlled_v1"
_NO_DOTENV = "PYTHON_DOTENV_DISABLED"


def logprob_preference(top_logprobs: Mapping[str, float]) -> float:
    """Its `logprob_parser` with AlpacaEval 2's settings: 2 - p(m) / (p(m) + p(M)), 1..2.

    top_logprobs: of the judge's first token (token -> nats), m or M among them.
    """
    with _without_side_effects():
        from alpaca_eval.completion_parsers import logprob_parser

    tokens = [{"token": token, "logprob": value} for token, value in top_logprobs.items()]
    completion = {"logprobs": {"content": [{"top_logprobs": tokens}]}}
    return float(logprob_parser(completion, "m", ["m", "M"], is_binarize=False)[0])


class Controlled(NamedTuple):
    """alpaca_eval's length-controlled win rate (0..100), its own lc_standard_error, and the C of the fit.

    That error is the standard error of the mean of the predictions, so it knows how the prompts' difficulties
    differ, and neither the verdicts' noise nor that of the fit.
    """

    win_rate: float
    lc_standard_error: float
    c: float | None


def control_length(annotations: Sequence[Annotation], rows: Sequence[int], c: float | None) -> Controlled:
    """Its length-controlled win rate of one model: metrics.glm_winrate, version length_controlled_v1.

    rows: of each annotation's instruction in AlpacaEval 2, where the model looks its difficulty up. c: inverse
    regularisation strength; None chooses it by cross-validation, as the package does (and stays None for the baseline
    against itself, which is 50 without a fit). Annotations without a
    preference are not fitted, but their difficulties are predicted for, as in the package. Raises UsageError
    where the calibration file cannot be had.
    """
    path = str(asset(GAMED))
    with _without_side_effects():
        import pandas as pd
        from alpaca_eval.metrics import glm_winrate
        from sklearn import config_context

        info = glm_winrate.GLM_INFO[GLM]
        if c is not None:
            info = {**info, "kwargs": {"n_splits": 0, "C": c}}
        columns = ("preference", "output_1", "output_2", "generator_1", "generator_2")
        # The index becomes the model's `index`: the difficulty of the instruction, not of the position in a file.
        frame = pd.DataFrame({key: [getattr(a, key) for a in annotations] for key in columns}, index=list(rows))
        frame["preference"] = frame["preference"].astype(float)
        fitted: list[Any] = []

        def fit(*args: Any, original: Any = glm_winrate.fit_LogisticRegressionCV, **kwargs: Any) -> Any:
            fitted.append(original(*args, **kwargs))
            return fitted[-1]

        with (
            config_context(),
            _replace_attribute(glm_winrate, "hf_hub_download", lambda **_: path),
            _replace_attribute(glm_winrate, "fit_LogisticRegressionCV", fit),
        ):
            figures = glm_winrate.get_length_controlled_winrate(
                frame,
                save_weights_dir=None,
                is_add_glm_preference_inplace=False,
                is_warn_extreme_changes=False,
                glm_info=info,
            )
        chosen = c if c is not None else float(np.ravel(fitted[0].C_)[0]) if fitted else None
    return Controlled(float(figures["length_controlled_winrate"]), float(figures["lc_standard_error"]), chosen)


@contextmanager
def _without_side_effects() -> Iterator[None]:
    root = logging.getLogger()
    level, disabled, dotenv = root.level, root.manager.disable, os.environ.get(_NO_DOTENV)
    os.environ[_NO_DOTENV] = "1"
    logging.disable(logging.INFO)  # what it tells through the root logger would break into our own lines
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of arguments that scikit-learn and setuptools will retire
            yield
    finally:
        root.setLevel(level)
        logging.disable(disabled)
        if dotenv is None:
            del os.environ[_NO_DOTENV]
        else:
            os.environ[_NO_DOTENV] = dotenv


@contextmanager
def _replace_attribute(module: Any, name: str, value: object) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)
