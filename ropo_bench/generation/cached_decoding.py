"""Asked when an engine starts: does decoding with a cache, in a batch, say what the model says without one?"""

from __future__ import annotations

from typing import Any

import torch

from ropo_bench.errors import UsageError
from ropo_bench.generation.hf import decode, pad_left
from ropo_bench.models.load import trying
from ropo_bench.recipes.task import Decoding

PROBES = ("Name three things that a river carries to the sea, and say why.", "Why?")
"""Of unlike lengths: the second is padded in a batch."""
NEW_TOKENS = 6
# A token is as good as the best one if its logit is this near: sums in another order, rounded in the model's dtype.
MAX_LAG = {"float32": 1e-2, "float16": 0.1, "bfloat16": 0.5}


@torch.inference_mode()
def check_decoding(model: Any, tokenizer: Any, dtype: str) -> None:
    """Decode two plain texts greedily in one batch, and look each new token up in whole passes without a cache.

    Raises UsageError where a token was not the best one, to within the rounding of `dtype`, or cannot decode.
    """
    rows = [ids[-64:] for ids in tokenizer(list(PROBES), add_special_tokens=False)["input_ids"]]
    if not all(rows):
        return  # a tokenizer that does not know these letters
    greedy = Decoding(max_new_tokens=NEW_TOKENS, temperature=0)
    random = torch.Generator(model.device)
    with trying(model, "decode", "try --backend vllm, or another base"):
        answers = decode(model, *pad_left(rows, model.device), greedy, stop_ids=frozenset(), random=random)
        lag = max(_lag(model, ids, new) for ids, new in zip(rows, answers, strict=True))
    if not lag <= MAX_LAG[dtype]:
        raise UsageError(
            f"model of type {model.config.model_type!r}: decoding with its cache is not decoding without one (a"
            f" chosen token lies {lag:.3g} below the best one); try --backend vllm, or another transformers"
        )


def _lag(model: Any, ids: list[int], new: list[int]) -> float:
    """How far below the best logit a chosen token's lies, in the worst place."""
    whole_T = torch.tensor([*ids, *new[:-1]], device=model.device)
    logits_TV = model(input_ids=whole_T[None], use_cache=False).logits[0, len(ids) - 1 :].float()
    chosen_T = logits_TV.gather(1, torch.tensor(new, device=model.device)[:, None])[:, 0]
    return float((logits_TV.amax(1) - chosen_T).max())
