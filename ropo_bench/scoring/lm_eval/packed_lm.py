"""lm-eval's model of transformers, which computes what requests begin with once where that is exact."""

from __future__ import annotations

from typing import Any

from lm_eval.models.huggingface import HFLM

from ropo_bench.types.engines import ChoiceLogps

Request = tuple[tuple[str, str], list[int], list[int]]
"""lm-eval's: (context, continuation) as texts, then as token ids."""


class PackedLM(HFLM):
    """HFLM, its tokens and windows; log-likelihoods by choice_logps where there is one and the model allows it."""

    def __init__(self, choice_logps: ChoiceLogps | None, **settings: Any) -> None:
        super().__init__(**settings)
        self._choice_logps = choice_logps

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        # A batch size of its own has only what shares nothing: the windows of a long text.
        if self._choice_logps is not None and requests and override_bs is None:
            pairs = [(context, continuation) for _, context, continuation in requests]
            answers = self._choice_logps(self.model, pairs, self.max_length)
            if answers is not None:
                for (texts, _, _), answer in zip(requests, answers, strict=True):
                    self.cache_hook.add_partial("loglikelihood", texts, answer)
                return answers
        alone: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
        return alone
