"""lm-eval over a model that is already loaded: its own HFLM for transformers, an adapter for any other engine."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from jinja2.exceptions import TemplateError

from ropo_bench.types.engines import Engine, Subject, TextEngine, TextRequest

MAX_GEN_TOKENS = 256  # lm-eval's own, where a task names no number
DEFAULT_ROOM = 2048  # and where nothing bounds the context

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


def make_lm(subject: Subject, batch_size: int | str) -> Any:
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
    """An lm-eval model over an engine's tokens; a class in a function, because its base is imported on use.

    As lm-eval's own model of vLLM does it: the same tokens, templates, windows and stop texts. Log-likelihoods go
    with any engine, generation with a TextEngine.
    """
    from lm_eval.api.model import TemplateLM
    from lm_eval.models.utils import (
        handle_stop_sequences,
        maybe_truncate,
        normalize_gen_kwargs,
        postprocess_generated_text,
    )
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

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

        @property
        def tokenizer_name(self) -> str:
            return str(self.tokenizer.name_or_path).replace("/", "__")

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            switches = {
                "tokenize": False,
                "add_generation_prompt": add_generation_prompt,
                "continue_final_message": not add_generation_prompt,
            }
            try:
                return str(self.tokenizer.apply_chat_template(chat_history, **switches))
            except TemplateError:  # of a template that has no place for a system message
                rest = [message for message in chat_history if message["role"] != "system"]
                return str(self.tokenizer.apply_chat_template(rest, **switches))

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
            if add_special_tokens is None:
                written = string.startswith(self.tokenizer.decode(self.prefix_token_id))
                return list(self.tokenizer.encode(string, **({"add_special_tokens": False} if written else {})))
            return list(self.tokenizer.encode(string, add_special_tokens=add_special_tokens))

        def _loglikelihood_tokens(self, requests: Sequence[Request], **_: Any) -> list[tuple[float, bool]]:
            return engine.loglikelihoods([(context, continuation) for _, context, continuation in requests])

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            windows = [
                [
                    make_disjoint_window(window)
                    for window in get_rolling_token_windows(
                        token_list=self.tok_encode(request.args[0]),
                        prefix_token=self.prefix_token_id,
                        # One token of the context for what comes before, one for what would be generated.
                        max_seq_len=(engine.room_tokens or DEFAULT_ROOM) - 2,
                        context_len=1,
                    )
                ]
                for request in requests
            ]
            found = iter(engine.loglikelihoods([window for text in windows for window in text]))
            return [sum(next(found)[0] for _ in text) for text in windows]

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            end = self.tokenizer.decode(self.eot_token_id) or self.tokenizer.eos_token
            wanted = []
            for number, request in enumerate(requests):
                context, given = request.args
                kwargs: dict[str, Any] = dict(normalize_gen_kwargs(given, default_max_gen_toks=MAX_GEN_TOKENS))
                stop = handle_stop_sequences(kwargs.pop("until"), eos=end)
                ids, room = maybe_truncate(
                    self.tok_encode(context),
                    max_gen_toks=kwargs.pop("max_gen_toks"),
                    max_model_len=engine.room_tokens or DEFAULT_ROOM,
                    verbose=False,
                )
                kwargs.pop("do_sample", None)
                # Greedy where nobody asks for samples, as lm-eval has it documented; a sample has a seed of its own.
                kwargs = {"temperature": 0.0, "seed": number, **kwargs}
                wanted.append(TextRequest(ids, room, stop, kwargs))
            texts = cast(TextEngine, engine).complete(wanted)
            return [
                postprocess_generated_text(text, list(request.stop), None)
                for text, request in zip(texts, wanted, strict=True)
            ]

    return EngineLM()
