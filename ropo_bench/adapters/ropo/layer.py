"""One nn.Linear with RoPO: z = m * (What (R^T x)) + bias, What = W with rows of norm 1 (arXiv 2508.17637).

The magnitude m is a parameter initialised to the row norms |w_i|, as the paper names it; W itself is never
divided. The forward scales the frozen layer's result by m / |w|, and |w| is always computed from W in the same
way: at attach the quotient is exactly 1 and the logits are the base model's, bit for bit. A row of zeros has no
direction; it stays zero. |w| is kept until W changes.

Tensor letters: O neurons (rows of W), D input features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn

from ropo_bench.adapters.ropo.config import RopoConfig
from ropo_bench.adapters.ropo.givens import rotate
from ropo_bench.adapters.ropo.magnitude import magnify
from ropo_bench.adapters.ropo.trees import Planes
from ropo_bench.errors import UsageError


def check_single(adapter_names: str | Sequence[str]) -> None:
    """UsageError unless at most one adapter is named."""
    if not isinstance(adapter_names, str) and len(adapter_names) > 1:
        raise UsageError(
            f"RoPO adapters {', '.join(adapter_names)}: only one can be active or merged at a time, because "
            "the magnitude m is absolute and the composition of two adapters is undefined; name one of them"
        )


class RopoLayer(BaseTunerLayer):
    """The parameters of every loaded adapter on one module; angles and magnitudes are fp32 on any base."""

    adapter_layer_names = ("ropo_theta_forward", "ropo_theta_reverse", "ropo_magnitude")
    other_param_names = ("ropo_planes",)

    def __init__(self, base_layer: nn.Linear) -> None:
        self.base_layer = base_layer
        self.in_features, self.out_features = base_layer.in_features, base_layer.out_features
        self.ropo_theta_forward = nn.ParameterDict()
        self.ropo_theta_reverse = nn.ParameterDict()
        self.ropo_magnitude = nn.ParameterDict()
        self.ropo_planes: dict[str, Planes] = {}
        self.merged_adapters: list[str] = []
        self._unmerged_weight: Tensor | None = None
        self._divisor: tuple[tuple[Any, ...], Tensor] | None = None

    def update_layer(self, adapter_name: str, config: RopoConfig) -> None:
        """Add an adapter that changes nothing yet: angles 0, m = |w|."""
        device = self.base_layer.weight.device
        trees = (self.ropo_theta_forward, self.ropo_theta_reverse) if config.reverse else (self.ropo_theta_forward,)
        for tree in trees:
            angles = torch.zeros(self.in_features - 1, dtype=torch.float32, device=device)
            tree[adapter_name] = nn.Parameter(angles)
        if config.magnitude:
            self.ropo_magnitude[adapter_name] = nn.Parameter(self.base_norm())
        self.ropo_planes[adapter_name] = config.planes
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        """Make one adapter active and trainable; UsageError for two."""
        check_single(adapter_names)
        super().set_adapter(adapter_names, inference_mode=inference_mode)

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """Move without PEFT's cast to the base's dtype, which would round angles and m loaded from disk."""
        for name in self.adapter_layer_names:
            parameters = getattr(self, name)
            if adapter_name in parameters and parameters[adapter_name].device.type != "meta":
                parameters[adapter_name] = parameters[adapter_name].to(device or self.base_layer.weight.device)

    @torch.no_grad()
    def base_norm(self) -> Tensor:
        """|w_i| of the unmerged weight, (O,) in fp32."""
        norm: Tensor = torch.linalg.vector_norm(self._frozen_weight(), dim=1, dtype=torch.float32)
        return norm

    def scale(self, adapter_name: str) -> Tensor | None:
        """m / |w|, (O,) in fp32, exactly 1 at attach; None for an adapter without magnitude."""
        if adapter_name not in self.ropo_magnitude:
            return None
        magnitude: Tensor = self.ropo_magnitude[adapter_name]
        return magnitude / self._kept_norm()

    def _kept_norm(self) -> Tensor:
        """|w|, 1 where it is 0, computed again only when the frozen weight was replaced, moved or written to."""
        if torch.compiler.is_compiling():
            return self._nonzero_norm()
        weight = self.base_layer.weight if self._unmerged_weight is None else self._unmerged_weight  # `.data` forgets
        state = (weight.data_ptr(), None if weight.is_inference() else weight._version, weight.dtype, weight.device)
        if self._divisor is None or self._divisor[0] != state:
            with torch.inference_mode(False):  # what is kept must serve a training forward too
                self._divisor = state, self._nonzero_norm()
        return self._divisor[1]

    def _nonzero_norm(self) -> Tensor:
        norm = self.base_norm()
        return torch.where(norm == 0, 1.0, norm)

    def rotate(self, x: Tensor, adapter_name: str, transpose: bool = False) -> Tensor:
        """R x, or R^T x with `transpose`, along the last dimension of x (..., D)."""
        forward = self.ropo_theta_forward[adapter_name]
        reverse = self.ropo_theta_reverse.get(adapter_name)
        return rotate(x, forward, reverse, self.ropo_planes[adapter_name], transpose)

    @torch.no_grad()
    def rotation(self, adapter_name: str) -> Tensor:
        """R as a matrix, (D, D) in fp32."""
        eye = torch.eye(self.in_features, device=self.ropo_theta_forward[adapter_name].device)
        return self.rotate(eye, adapter_name).T

    @torch.no_grad()
    def merged_weight(self, adapter_name: str) -> Tensor:
        """diag(m) What R^T, (O, D), in fp32 (fp64 on an fp64 base): not yet rounded to the base's dtype."""
        weight = self._frozen_weight()
        rotated = self.rotate(weight.to(torch.promote_types(weight.dtype, torch.float32)), adapter_name)
        scale = self.scale(adapter_name)
        return rotated if scale is None else rotated * scale[:, None]

    def _frozen_weight(self) -> Tensor:
        return self.base_layer.weight.data if self._unmerged_weight is None else self._unmerged_weight


class RopoLinear(nn.Module, RopoLayer):
    """nn.Linear with RoPO; the bias is neither rotated nor scaled."""

    def __init__(self, base_layer: nn.Linear, adapter_name: str, config: RopoConfig) -> None:
        nn.Module.__init__(self)
        RopoLayer.__init__(self, base_layer)
        self._active_adapter: list[str] = [adapter_name]
        self.update_layer(adapter_name, config)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """z (..., O) from x (..., D) in x's dtype."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        active = [name for name in self._active_adapter if name in self.ropo_theta_forward]
        if self.disable_adapters or self.merged or not active:
            unchanged: Tensor = self.base_layer(x, *args, **kwargs)
            return unchanged
        z: Tensor = self.base_layer(self.rotate(x, active[0], transpose=True), *args, **kwargs)
        scale = self.scale(active[0])
        if scale is None:
            return z
        # The base layer has added its bias already; adding it later would change bits at attach.
        bias = self.base_layer.bias
        return magnify(z, scale, None if bias is None else bias * (1 - scale))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RopoLinear:
        self._divisor = None  # a cast may leave the weight's address as it was
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Put diag(m) What R^T, computed in fp32 and rounded last, in the base weight's place.

        Keeps the unmerged weight, so that `unmerge` restores it bit for bit (rotating back a rounded weight
        would not); `merge_and_unload` frees it layer by layer. safe_merge: ValueError if the result is not
        finite.
        """
        names = [n for n in check_adapters_to_merge(self, adapter_names) if n in self.ropo_theta_forward]
        check_single([*self.merged_adapters, *names])
        if not names:
            return
        merged = self.merged_weight(names[0])
        if safe_merge and not torch.isfinite(merged).all():
            raise ValueError(f"RoPO adapter {names[0]}: the merged weight is not finite; the adapter is broken")
        weight = self.base_layer.weight
        self._unmerged_weight, weight.data = weight.data, merged.to(weight.dtype)
        self.merged_adapters.append(names[0])

    def unmerge(self) -> None:
        """Put the unmerged weight back."""
        if self._unmerged_weight is not None:
            weight = self.base_layer.weight
            weight.data = self._unmerged_weight.to(weight)
            self._unmerged_weight = None
        self.merged_adapters.clear()

    def __repr__(self) -> str:
        return f"ropo.{super().__repr__()}"
