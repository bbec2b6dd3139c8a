"""lm-eval over a model that is already loaded: its own HFLM for transformers, an adapter for any other engine."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ropo_bench.types.engines import Engine, Subject

Request = tuple[tuple[str, str], list[int], list[int]]
"""lm-eval's: (context, continuation) as texts, then as token ids."""


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


def make_lm(subject: Subject, batch_size: int) -> Any:
    """The subject's engine as an lm-eval model."""
    engine = subject.engine()
    if engine.backend != "hf":
        return engine_lm(engine)
    from lm_eval.models.huggingface import HFLM

    with quiet():
        return HFLM(pretrained=cast(Any, engine).model, tokenizer=engine.tokenizer, batch_size=batch_size)


def run_tasks(lm: Any, loaded: Mapping[str, Any], limit: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """lm-eval's samples of each task, in the order of its rows; limit: only the first rows of each."""
    from lm_eval.evaluator import evaluate

    with quiet():
        # Not simple_evaluate, which asks pip for every installed package, a second each time.
        tasks = {"tasks": dict(loaded), "groups": {}, "group_map": {}}
        results = evaluate(lm, tasks, limit=limit, bootstrap_iters=0, log_samples=True)
    found: dict[str, list[dict[str, Any]]] = {}
    for name in loaded:
        found[name] = sorted(results["samples"][name], key=lambda sample: int(sample["doc_id"]))
    return found


def engine_lm(engine: Engine) -> Any:
    """An lm-eval model over `engine.loglikelihoods`; a class in a function, because its base is imported on use."""
    from lm_eval.api.model import TemplateLM

    class EngineLM(TemplateLM):
        """Tokenizes as lm-eval's HFLM does; the engine cuts what is too long for its context from the left."""

        def __init__(self) -> None:
            super().__init__()
            self.tokenizer = engine.tokenizer

        @property
        def eot_token_id(self) -> int:
            return int(self.tokenizer.eos_token_id)

        @property
        def prefix_token_id(self) -> int:
            bos = self.tokenizer.bos_token_id
            return self.eot_token_id if bos is None else int(bos)

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
            if add_special_tokens is None:
                written = string.startswith(self.tokenizer.decode(self.prefix_token_id))
                return list(self.tokenizer.encode(string, **({"add_special_tokens": False} if written else {})))
            return list(self.tokenizer.encode(string, add_special_tokens=add_special_tokens))

        def _loglikelihood_tokens(self, requests: Sequence[Request], **_: Any) -> list[tuple[float, bool]]:
            return engine.loglikelihoods([(context, continuation) for _, context, continuation in requests])

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            raise NotImplementedError("multiple choice asks for no rolling likelihoods")

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            raise NotImplementedError("multiple choice generates nothing")

    return EngineLM()
