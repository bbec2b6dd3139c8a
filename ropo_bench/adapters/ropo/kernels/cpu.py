"""The C kernels on CPU tensors: fp32 and bf16 as they are, fp16 by way of fp32; as many threads as torch has.

Threads are torch's own: the library gets the functions of the OpenMP runtime that torch has loaded, so there is
one pool and `torch.set_num_threads` rules it. Letters: N tokens, D features, O neurons.
"""

from __future__ import annotations

import ctypes
import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ropo_bench.adapters.ropo.kernels import build, memory

if TYPE_CHECKING:
    from ropo_bench.adapters.ropo.trees import Planes

_POINTER, _INT64, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled library; None, with one warning, where it cannot be had."""
    try:
        loaded = build.load()
    except build.BuildError as error:
        logging.getLogger(__name__).warning(
            "RoPO rotates in plain torch, several times slower than by its C kernel: %s", error
        )
        return None
    loaded.big_rotate.argtypes = [*[_POINTER] * 4, _INT64, _INT64, _INT, *[_POINTER] * 4, _INT, _INT, _INT]
    loaded.big_scale.argtypes = [*[_POINTER] * 6, _INT64, _INT64, _INT, _INT]
    loaded.big_threads.argtypes = [_POINTER] * 3
    runtime = openmp_runtime()
    if runtime is not None:
        names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
        loaded.big_threads(*(ctypes.cast(getattr(runtime, name), _POINTER) for name in names))
    return loaded


def openmp_runtime() -> ctypes.CDLL | None:
    """The OpenMP runtime in this process, torch's own where there are several; None: one thread."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    loaded = sorted({line.split(maxsplit=5)[5] for line in lines if "/lib" in line and "omp" in line})
    runtimes = [path for path in loaded if Path(path).name.startswith(("libgomp", "libomp", "libiomp5"))]
    home = str(Path(torch.__file__).resolve().parent)  # maps have real paths, a virtual environment may be a link
    for path in sorted(runtimes, key=lambda path: not path.startswith(home)):
        runtime = ctypes.CDLL(path)
        if hasattr(runtime, "GOMP_parallel"):
            return runtime
    return None


def forward(
    x_ND: Tensor, theta_forward: Tensor | None, theta_reverse: Tensor | None, planes: Planes, transpose: bool
) -> Tensor:
    """R x, or R^T x with `transpose`, for a contiguous x."""
    if x_ND.dtype == torch.float16:
        return forward(x_ND.float(), theta_forward, theta_reverse, planes, transpose).half()
    y_ND = memory.empty_like(x_ND)
    angles = (_angles(theta_forward), _angles(theta_reverse))
    _call_rotate(x_ND, y_ND, None, None, angles, (None, None), planes, transpose)
    return y_ND


def backward(
    x_ND: Tensor,
    grad_ND: Tensor,
    theta_forward: Tensor | None,
    theta_reverse: Tensor | None,
    planes: Planes,
    transpose: bool,
    wants_x: bool = True,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """dL/dx (N, D) where wanted and dL/dtheta of both trees (D - 1,), from the INPUT x of `forward` and dL/dy."""
    if x_ND.dtype == torch.float16:
        wide = backward(x_ND.float(), grad_ND.float(), theta_forward, theta_reverse, planes, transpose, wants_x)
        return wide[0].half() if wide[0] is not None else None, wide[1], wide[2]
    grad_x_ND = memory.empty_like(x_ND) if wants_x else None
    angles = (_angles(theta_forward), _angles(theta_reverse))
    grads = tuple(None if angle is None else torch.empty_like(angle) for angle in angles)
    _call_rotate(x_ND, None, grad_ND, grad_x_ND, angles, (grads[0], grads[1]), planes, transpose)
    return grad_x_ND, _like(grads[0], theta_forward), _like(grads[1], theta_reverse)


def scale(z_NO: Tensor, scale_O: Tensor, shift_O: Tensor | None) -> Tensor:
    """z * scale + shift, in fp32 arithmetic and z's dtype (fp32 or bf16); scale and shift fp32; all contiguous."""
    out_NO = torch.empty_like(z_NO)
    _call_scale(z_NO, None, out_NO, scale_O, shift_O, None)
    return out_NO


def scale_backward(z_NO: Tensor, grad_NO: Tensor, scale_O: Tensor) -> tuple[Tensor, Tensor]:
    """dL/dz (N, O) and dL/dscale (O,) of `scale`, from z and dL/d(its result)."""
    grad_z_NO, grad_scale_O = torch.empty_like(z_NO), torch.empty_like(scale_O)
    _call_scale(z_NO, grad_NO, grad_z_NO, scale_O, None, grad_scale_O)
    return grad_z_NO, grad_scale_O


def _angles(theta: Tensor | None) -> Tensor | None:
    return None if theta is None else theta.detach().float().contiguous()


def _like(grad: Tensor | None, theta: Tensor | None) -> Tensor | None:
    return None if grad is None or theta is None else grad.to(theta.dtype)


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _call_rotate(
    x_ND: Tensor,
    y_ND: Tensor | None,
    grad_ND: Tensor | None,
    grad_x_ND: Tensor | None,
    angles: tuple[Tensor | None, Tensor | None],
    grads: tuple[Tensor | None, Tensor | None],
    planes: Planes,
    transpose: bool,
) -> None:
    compiled = library()
    assert compiled is not None, "find() gives this kernel only where the library is there"
    mirror = planes == "mirror" and angles[1] is not None
    failed = compiled.big_rotate(
        x_ND.data_ptr(), _at(y_ND), _at(grad_ND), _at(grad_x_ND), x_ND.shape[0], x_ND.shape[1],
        x_ND.dtype == torch.bfloat16, _at(angles[0]), _at(angles[1]), _at(grads[0]), _at(grads[1]),
        mirror, transpose, torch.get_num_threads(),
    )  # fmt: skip
    if failed:
        raise MemoryError(f"BIG: no memory for a slab of {x_ND.shape[1]} features")


def _call_scale(
    z_NO: Tensor,
    grad_NO: Tensor | None,
    out_NO: Tensor,
    scale_O: Tensor,
    shift_O: Tensor | None,
    grad_scale_O: Tensor | None,
) -> None:
    compiled = library()
    assert compiled is not None, "find() gives this kernel only where the library is there"
    failed = compiled.big_scale(
        z_NO.data_ptr(), _at(grad_NO), out_NO.data_ptr(), scale_O.data_ptr(), _at(shift_O), _at(grad_scale_O),
        z_NO.shape[0], z_NO.shape[1], z_NO.dtype == torch.bfloat16, torch.get_num_threads(),
    )  # fmt: skip
    if failed:
        raise MemoryError(f"magnitudes: no memory for the sums of {z_NO.shape[1]} neurons")
