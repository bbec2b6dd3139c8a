"""Matrix products by the faster library: oneDNN's fp32 products on a CPU beat those of torch's BLAS.

By a tenth for a layer's shapes, by a third and more for a head's (docs/log.md). Everything else is torch's own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_HAS_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def is_faster(x: Tensor, weight_OD: Tensor) -> bool:
    """Whether oneDNN takes this product."""
    fits = x.device.type == "cpu" and x.dtype == weight_OD.dtype == torch.float32
    return _HAS_ONEDNN and fits and x.numel() > 0 and not torch.is_autocast_enabled("cpu")


def linear(x: Tensor, weight_OD: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x W^T + b, (..., D) to (..., O), by whichever is faster; without a gradient where oneDNN takes it."""
    if not is_faster(x, weight_OD):
        return nn.functional.linear(x, weight_OD, bias_O)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight_OD, bias_O, "none", [], "")
    return product
