"""The transformers backend as an engine: a model loaded once that generates, scores, and goes.

Shapes: B requests of a batch, P tokens of the longest, C tokens of the longest continuation, V words.
"""

from __future__ import annotations

import gc
import secrets
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ropo_bench.generation.base import check_logps, fit
from ropo_bench.generation.cache_kinds import is_recurrent, text_config
from ropo_bench.generation.cached_decoding import check_decoding
from ropo_bench.generation.hf import HFGenerator, pad_left
from ropo_bench.models.load import load_model, load_tokenizer
from ropo_bench.recipes.task import Decoding
from ropo_bench.types import Completion, Prompt
from ropo_bench.weights.checks import check_vocabulary

BATCH_TOKENS = 8192  # B x P at most
BATCH_LOGITS = 1 << 26  # B x C x V at most: 256 MiB in fp32

Request = tuple[Sequence[int], Sequence[int]]


class HFEngine:
    """An Engine (see ropo_bench.types.engines) of transformers; model is the loaded model, on its device."""

    backend = "hf"

    def __init__(self, folder: Path, dtype: str) -> None:
        self.life = f"hf-{secrets.token_hex(4)}"
        self.tokenizer = load_tokenizer(folder)
        self.model = load_model(folder, dtype)
        check_vocabulary(f"model {folder}", self.tokenizer, len(self.model.get_input_embeddings().weight))
        self._generator = HFGenerator(self.model, self.tokenizer)
        self.room_tokens = self._generator.room_tokens
        check_decoding(self.model, self.tokenizer, dtype)

    def generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, done: Collection[tuple[str, int]] = ()
    ) -> Iterator[list[Completion]]:
        """Completions batch by batch; see HFGenerator.generate."""
        return self._generator.generate(prompts, decoding, done)

    def loglikelihoods(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        """Of each (context ids, continuation ids): summed log-probability in nats, and whether it is greedy.

        The last token is not read, so one more fits than the context has room for; see base.fit.
        """
        return check_logps(loglikelihoods(self.model, requests, self.room_tokens))

    def swap(self, folder: Path) -> bool:
        """Never: loading a model anew takes no longer."""
        return False

    def close(self) -> None:
        """Drop the model and give its memory back to the device."""
        self.model = None
        self._generator.model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@torch.inference_mode()
def loglikelihoods(model: Any, requests: Sequence[Request], room_tokens: int | None) -> list[tuple[float, bool]]:
    """See HFEngine.loglikelihoods; longest requests first, so that too little memory shows at once."""
    room = None if room_tokens is None else room_tokens + 1
    rows = [fit(context, continuation, room) for context, continuation in requests]
    results = [(0.0, True)] * len(rows)
    together = _same_lengths if is_recurrent(model) else _batches
    for batch in together(rows, text_config(model).vocab_size):
        ids_BP, mask_BP = pad_left([rows[index][0][:-1] for index in batch], model.device)
        width = max(len(rows[index][0]) - rows[index][1] for index in batch)
        inputs: dict[str, Any] = {"input_ids": ids_BP, "use_cache": False, "logits_to_keep": width}
        if not mask_BP.all():
            inputs |= {"attention_mask": mask_BP, "position_ids": (mask_BP.cumsum(1) - 1).clamp(min=0)}
        logps_BCV = model(**inputs).logits[:, -width:].float().log_softmax(-1)
        best_BC = logps_BCV.argmax(-1)
        for row, index in enumerate(batch):
            ids, start = rows[index]
            target_C = torch.tensor(ids[start:], device=model.device)
            logps_CV = logps_BCV[row, width - len(target_C) :]
            total = logps_CV.gather(1, target_C[:, None]).double().sum().item()
            results[index] = total, bool((best_BC[row, width - len(target_C) :] == target_C).all())
    return results


def _same_lengths(rows: Sequence[tuple[list[int], int]], num_words: int) -> Iterator[list[int]]:
    """The same, of rows of one length only: what is recurrent must not read padding."""
    lengths: dict[int, list[int]] = {}
    for index, (ids, _) in enumerate(rows):
        lengths.setdefault(len(ids), []).append(index)
    for _, alike in sorted(lengths.items(), reverse=True):
        yield from ([alike[i] for i in batch] for batch in _batches([rows[i] for i in alike], num_words))


def _batches(rows: Sequence[tuple[list[int], int]], num_words: int) -> Iterator[list[int]]:
    """Indices of rows, longest first, as many at a time as both limits allow."""
    batch: list[int] = []
    longest = width = 0
    for index in sorted(range(len(rows)), key=lambda index: -len(rows[index][0])):
        ids, start = rows[index]
        longest, width = max(longest, len(ids)), max(width, len(ids) - start)
        size = len(batch) + 1
        if batch and (size * longest > BATCH_TOKENS or size * width * num_words > BATCH_LOGITS):
            yield batch
            batch, longest, width = [], len(ids), len(ids) - start
        batch.append(index)
    if batch:
        yield batch
