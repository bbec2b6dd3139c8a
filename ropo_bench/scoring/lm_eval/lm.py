"""lm-eval over a model that is already loaded: its own HFLM for transformers, an adapter for any other engine."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ropo_bench.types.engines import Engine, Subject


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the bars and warnings of lm-eval and below, which break into our lines; errors come as exceptions."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "transformers")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def make_lm(subject: Subject, batch_size: int | str) -> Any:
    """The subject's engine as an lm-eval model."""
    engine = subject.engine()
    if engine.backend != "hf":
        return engine_lm(engine)
    from ropo_bench.scoring.lm_eval.packed_lm import PackedLM

    with quiet():
        return PackedLM(
            subject.choice_logps,
            pretrained=cast(Any, engine).model,
            tokenizer=engine.tokenizer,
            batch_size=batch_size,
        )


def run_tasks(lm: Any, loaded: Mapping[str, Any], limit: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """lm-eval's samples of each task, in the order of its rows; limit: only the first rows of each."""
    from lm_eval.evaluator import evaluate

    with quiet():
        # Not simple_evaluate, which asks pip for every installed package, a second each time.
        tasks = {"tasks": dict(loaded), "groups": {}, "group_map": {}}
        results = evaluate(lm, tasks, limit=limit, bootstrap_iters=0, log_samples=True)
    samples: dict[str, list[dict[str, Any]]] = {}
    for name in loaded:
        samples[name] = sorted(results["samples"][name], key=lambda sample: int(sample["doc_id"]))
    return samples


def engine_lm(engine: Engine) -> Any:
    """An lm-eval model over an engine's tokens; imported on use, because its base is lm-eval's."""
    from ropo_bench.scoring.lm_eval.engine_lm import EngineLM

    return EngineLM(engine)
