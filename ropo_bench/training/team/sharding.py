"""FSDP2: a model in shards, one on each process of a team, and its state as whole tensors again.

Adapters are small: only the base model under them is sharded, and every process holds all of what trains. In full
fine-tuning gradients and Adam's moments are sharded too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from ropo_bench.training.team.devices import Team


class Passes(nn.Module):
    """A model whose forward pass is one micro-batch of an objective, loss included.

    FSDP gathers weights when a module is called; an objective calls parts of the model (the trunk, the head's
    weight), so it is run inside of this module's call.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, parts: Iterator[Any]) -> tuple[Tensor | None, Any]:
        """(loss, part) of the next micro-batch; (None, None) after the last."""
        part = next(parts, None)
        return (None, None) if part is None else (part.loss, part)


def distribute(model: nn.Module, team: Team) -> Passes:
    """The model on this process's device, whole or (team.shard) this process's shard of it, ready to be called."""
    passes = Passes(model)
    if not team.shard:
        model.to(team.device)
        return passes
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard

    adapted = any(not p.requires_grad for p in model.parameters())
    whole = {p for p in model.parameters() if adapted and p.requires_grad}
    for parameter in whole:
        parameter.data = parameter.data.to(team.device)
    settings: dict[str, Any] = {
        "mesh": init_device_mesh(team.device.type, (team.size,)),
        "offload_policy": CPUOffloadPolicy() if team.offload else OffloadPolicy(),
        "ignored_params": whole,
    }
    for layer in layers(model):
        fully_shard(layer, reshard_after_forward=team.reshard, **settings)
    fully_shard(passes, **settings)
    for module in passes.modules():
        if isinstance(module, FSDPModule):  # the sum over processes, not the mean: parts sum to the step's loss
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return passes


def layers(model: nn.Module) -> list[nn.Module]:
    """The transformer layers, by the names that the architecture says must not be split."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def end_of_passes(passes: Passes) -> None:
    """Give gathered weights back, so that the optimizer's change of the shards is what the next step gathers."""
    if hasattr(passes, "reshard"):
        for module in passes.modules():
            if hasattr(module, "reshard"):
                module.reshard()  # type: ignore[operator]


def local(tensor: Tensor) -> Tensor:
    """This process's shard of a tensor; a tensor that is not sharded itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor; every process of the team must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, which every process has, placed as `like` is; nothing is exchanged."""
    if not isinstance(like, DTensor):
        return tensor.to(like.device)
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def whole_state(model: nn.Module, team: Team) -> Mapping[str, Tensor]:
    """The model's state dict with whole tensors in main memory, on the writing process; empty on the others."""
    parameter = {name: id(p) for name, p in model.named_parameters(remove_duplicate=False)}
    state: dict[str, Tensor] = {}
    gathered: dict[Any, Tensor] = {}
    for name, tensor in model.state_dict().items():
        key = parameter.get(name, name)  # tied weights stay one tensor
        if key not in gathered:
            value = whole(tensor).detach()
            gathered[key] = value.cpu() if team.writes else value.new_empty(0)
        if team.writes:
            state[name] = gathered[key]
    return state


def clip(parameters: Sequence[nn.Parameter], max_norm: float) -> Tensor:
    """Scale all gradients so that their norm over all shards is at most max_norm; returns the norm before.

    As torch.nn.utils.clip_grad_norm_, which knows no mixture of sharded and whole parameters.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    sharded = [local(g) for g in gradients if isinstance(g, DTensor)]
    plain = [g for g in gradients if not isinstance(g, DTensor)]
    norm = torch.nn.utils.get_total_norm(plain)
    if sharded:
        squared = torch.nn.utils.get_total_norm(sharded).square()
        dist.all_reduce(squared)
        norm = (norm.to(squared.device).square() + squared).sqrt()
    if max_norm < math.inf:
        torch._foreach_mul_([*plain, *sharded], (max_norm / (norm + 1e-6)).clamp(max=1.0))
    return norm
