"""An lm-eval model over an engine's tokens, for engines that lm-eval does not load itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from jinja2.exceptions import TemplateError
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import (
    handle_stop_sequences,
    maybe_truncate,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from ropo_bench.types.engines import Engine, TextEngine, TextRequest

MAX_GEN_TOKENS = 256  # lm-eval's own, where a task names no number
DEFAULT_ROOM = 2048  # and where nothing bounds the context

Request = tuple[tuple[str, str], list[int], list[int]]
"""lm-eval's: (context, continuation) as texts, then as token ids."""


class EngineLM(TemplateLM):
    """Of any engine the log-likelihoods, of a TextEngine generation, too.

    The tokens, templates, windows and stop texts are those of lm-eval's own model of vLLM; the engine cuts what is
    too long for its context from the left.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
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
        return self.engine.loglikelihoods([(context, continuation) for _, context, continuation in requests])

    @property
    def _room(self) -> int:
        return self.engine.room_tokens or DEFAULT_ROOM

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        windows = [self._windows(request.args[0]) for request in requests]
        logps = iter(self.engine.loglikelihoods([window for text in windows for window in text]))
        return [sum(next(logps)[0] for _ in text) for text in windows]

    def _windows(self, text: str) -> list[tuple[list[int], list[int]]]:
        """A text as (context ids, continuation ids), one after another, together all of it."""
        rolling = get_rolling_token_windows(
            token_list=self.tok_encode(text),
            prefix_token=self.prefix_token_id,
            # One token of the context for what comes before, one for what would be generated.
            max_seq_len=self._room - 2,
            context_len=1,
        )
        return [make_disjoint_window(window) for window in rolling]

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        wanted = [self._text_request(number, *request.args) for number, request in enumerate(requests)]
        texts = cast(TextEngine, self.engine).complete(wanted)
        return [
            postprocess_generated_text(text, list(request.stop), None)
            for text, request in zip(texts, wanted, strict=True)
        ]

    def _text_request(self, number: int, context: str, given: dict[str, Any]) -> TextRequest:
        kwargs: dict[str, Any] = dict(normalize_gen_kwargs(given, default_max_gen_toks=MAX_GEN_TOKENS))
        end = self.tokenizer.decode(self.eot_token_id) or self.tokenizer.eos_token
        stop = handle_stop_sequences(kwargs.pop("until"), eos=end)
        ids, max_tokens = maybe_truncate(
            self.tok_encode(context),
            max_gen_toks=kwargs.pop("max_gen_toks"),
            max_model_len=self._room,
            verbose=False,
        )
        kwargs.pop("do_sample", None)
        # Greedy where nobody asks for samples, as lm-eval has it documented; a sample has a seed of its own.
        return TextRequest(ids, max_tokens, stop, {"temperature": 0.0, "seed": number, **kwargs})
