"""Choosing the next token: the best, or drawn by temperature and nucleus from given random numbers.

Shapes: N rows, V words.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ropo_bench.errors import MethodFailed


def check_logits(logits_NV: Tensor, step: int) -> None:
    """Raise MethodFailed where a row's best logit is NaN or infinite; a masked word's -inf may be.

    step: of the answer, from 0.
    """
    if not logits_NV.amax(-1).isfinite().all():  # NaN where any is
        raise MethodFailed(
            f"generation: the model gives NaN or infinity as the logits of token {step + 1} of an answer, which"
            " nothing can be drawn from; load it in float32 (merge.dtype), or give another model"
        )


def choose(logits_NV: Tensor, temperature: float | Tensor, top_p: float, uniform_N: Tensor) -> Tensor:
    """Next tokens (N,): the best at temperature 0, else drawn by inverse transform of uniform_N.

    temperature: one for all rows, or (N,). top_p: the smallest set of most probable tokens whose mass reaches it is
    drawn from (arXiv 1904.09751).
    """
    if isinstance(temperature, Tensor):
        greedy_N = temperature == 0
        warm_N1 = temperature.masked_fill(greedy_N, 1.0)[:, None]
        return torch.where(greedy_N, logits_NV.argmax(-1), _draw(logits_NV, warm_N1, top_p, uniform_N))
    if temperature == 0:
        return logits_NV.argmax(-1)
    return _draw(logits_NV, temperature, top_p, uniform_N)


def _draw(logits_NV: Tensor, temperature: float | Tensor, top_p: float, uniform_N: Tensor) -> Tensor:
    probabilities_NV = torch.softmax(logits_NV.float() / temperature, dim=-1)
    order_NV = None
    if top_p < 1:
        probabilities_NV, order_NV = probabilities_NV.sort(dim=-1, descending=True, stable=True)
        before_NV = probabilities_NV.cumsum(-1) - probabilities_NV
        probabilities_NV = probabilities_NV.masked_fill(before_NV >= top_p, 0.0)
    cumulative_NV = probabilities_NV.cumsum(-1)
    # Kept below the whole mass, which rounding could reach: a token of probability 0 is never drawn.
    mass_N1 = cumulative_NV[:, -1:]
    target_N1 = torch.minimum(uniform_N[:, None] * mass_N1, mass_N1.nextafter(torch.zeros_like(mass_N1)))
    index_N1 = torch.searchsorted(cumulative_NV, target_N1, right=True)
    return (index_N1 if order_NV is None else order_NV.gather(1, index_N1))[:, 0]
