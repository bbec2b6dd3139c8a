"""What an architecture does between its head's product and its logits, measured on the model itself.

Gemma caps, Granite divides, Cohere and Falcon-H1 multiply, each under a name of its own and some in a nested config:
a list of names is always one architecture behind. So the model is asked: a ramp is put in place of the head's output,
and what comes out as logits tells the change.

Shapes: V vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

# Small enough that no cap bends it, and so large that every cap is reached.
_SMALL, _LARGE = 1e-3, 1e6
_TOLERANCE = 1e-4


class LogitChange(NamedTuple):
    """What an architecture does to its head's output z: cap * tanh(scale * z / cap); scale * z without a cap."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, logits_cv: Tensor) -> Tensor:
        """Changed logits; the argument may be overwritten where autograd does not record."""
        if self.scale != 1:
            logits_cv = _product(logits_cv, self.scale)
        if self.cap is None:
            return logits_cv
        return _product(torch.tanh(_product(logits_cv, 1 / self.cap)), self.cap)

    def slope(self, changed: Tensor) -> Tensor | float:
        """Derivative of the changed logits by the head's output, from the changed logits."""
        return self.scale if self.cap is None else self.scale * (1 - (changed / self.cap).square())


def _product(x: Tensor, factor: float) -> Tensor:
    return x * factor if torch.is_grad_enabled() else x.mul_(factor)


_measured: WeakKeyDictionary[nn.Module, LogitChange | None] = WeakKeyDictionary()


def logit_change(causal: Any) -> LogitChange | None:
    """The change of a transformers model, measured once by a forward pass of one token.

    None where its logits are no such change of its output embedding's product with the trunk's hidden states: only
    its own forward gives them then.
    """
    if causal not in _measured:
        _measured[causal] = _measure(causal)
    return _measured[causal]


@torch.no_grad()
def _measure(causal: Any) -> LogitChange | None:
    head, device = causal.get_output_embeddings(), next(causal.parameters()).device
    if head is None:
        return None
    seen: dict[str, Tensor] = {}
    half = torch.logspace(-3, 2, 64, dtype=torch.float32, device=device)
    ramp = torch.cat([torch.tensor([_SMALL, _LARGE, -_LARGE, 0.0], device=device), half, -half])

    def replace(_head: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen["read"] = inputs[0][:, -1]
        changed = torch.zeros(output.shape, dtype=torch.float32, device=output.device)
        changed[..., : len(ramp)] = ramp[: output.shape[-1]]
        return changed

    hook = head.register_forward_hook(replace)
    was_training = [module for module in causal.modules() if module.training]
    causal.eval()
    try:
        ids = torch.ones(1, 1, dtype=torch.long, device=device)
        logits = causal(input_ids=ids, use_cache=False).logits[0, -1].float()
        trunk = causal.base_model(input_ids=ids, use_cache=False)
    finally:
        hook.remove()
        for module in was_training:
            module.training = True
    read, hidden = seen.get("read"), getattr(trunk, "last_hidden_state", None)
    if read is None or hidden is None or read.shape != hidden[:, -1].shape:
        return None  # there is no head, or no trunk under the name that transformers gives it (Llama 4)
    if not torch.allclose(read.float(), hidden[:, -1].float(), rtol=1e-3, atol=1e-5):
        return None  # something stands between the trunk and the head
    return _fit(ramp[: len(logits)], logits[: len(ramp)])


def _fit(given: Tensor, changed: Tensor) -> LogitChange | None:
    """The change that turns one row into the other; None where none of this form does."""
    small, large = changed[:2].tolist()
    scale = small / _SMALL
    is_capped = large < 0.5 * scale * _LARGE
    change = LogitChange(_round(scale), _round(large) if is_capped else None)
    close = torch.allclose(change(given.clone()), changed, rtol=_TOLERANCE, atol=_TOLERANCE)
    return change if close else None


def _round(value: float) -> float:
    """Without the rounding of fp32: the number that stands in a config."""
    return float(f"{value:.6g}")
