"""What a Llama computes between its matrix products, each in one pass over memory: RMSNorm, SwiGLU, rotary positions.

The C functions beside this file (elementwise.c) are compiled in half a second by the machine's C compiler on first
use. They keep for the backward no more than their arguments and one number a row. Tensors on the CPU, fp32 or bf16.

Shapes: B rows, T tokens, H heads, E width of a head, N rows of a norm of width D.
"""

from __future__ import annotations

import ctypes
import logging
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ropo_bench.adapters.ropo.kernels import build

SUFFIX = {torch.float32: "f", torch.bfloat16: "b"}
# No -ffast-math: it would let NaN pass for a number, and linking with it changes the rounding of the whole process.
_FLAGS = ["-O3", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-fPIC"]
_POINTER, _COUNT, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_ARGUMENTS = {
    "norm_forward": [_POINTER] * 4 + [_COUNT, _COUNT, _FLOAT],
    "norm_backward": [_POINTER] * 5 + [_COUNT, _COUNT],
    "swiglu_forward": [_POINTER] * 3 + [_COUNT],
    "swiglu_backward": [_POINTER] * 5 + [_COUNT],
    "rotary": [_POINTER] * 7 + [_COUNT, _FLOAT],
}


@lru_cache(maxsize=1)
def library() -> Any:
    """The compiled functions; None, with one warning, where no compiler makes them or torch has no OpenMP to lend."""
    try:
        functions = _compile()
    except (OSError, subprocess.SubprocessError, build.BuildError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        logging.getLogger(__name__).warning(
            "norms, rotary positions and SwiGLU run in plain torch, slower than by their C functions: %s",
            reason.strip().splitlines()[0],
        )
        return None
    for name, arguments in _ARGUMENTS.items():
        for symbol in [name] if name.startswith("norm") else [f"{name}_f", f"{name}_b"]:
            function = getattr(functions, symbol)
            function.argtypes, function.restype = arguments, None
    return functions


def _compile() -> ctypes.CDLL:
    compiler, source = build.find_compiler(), str(Path(__file__).with_suffix(".c"))
    with tempfile.TemporaryDirectory(prefix="ropo-bench-") as folder:
        object_file, library_file = str(Path(folder, "elementwise.o")), str(Path(folder, "elementwise.so"))
        for native in build.NATIVE:
            command = [*compiler, *_FLAGS, *([native] if native else []), "-c", source, "-o", object_file]
            done = subprocess.run(command, capture_output=True, text=True, timeout=build.COMPILE_SECONDS, check=False)
            if done.returncode == 0:
                break
        done.check_returncode()
        # Linked without OpenMP: its symbols are found in torch's runtime, so both use the same threads.
        subprocess.run(
            [*compiler, "-shared", object_file, "-o", library_file, "-lm"], check=True, capture_output=True, text=True
        )
        return ctypes.CDLL(library_file)


def _call(name: str, *arguments: Any) -> None:
    """Call a C function; tensors become pointers (the caller keeps them alive), sequences arrays of integers."""
    values = (
        a.data_ptr() if isinstance(a, Tensor) else (_COUNT * len(a))(*a) if isinstance(a, tuple) else a
        for a in arguments
    )
    getattr(library(), name)(*values)


def rms_norm(x_ND: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
    """weight * x / sqrt(mean of x^2 + epsilon) along the last dimension; all fp32; differentiable once."""
    return _RMSNorm.apply(x_ND, weight_D, epsilon)  # type: ignore[no-any-return, no-untyped-call]


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, epsilon: float) -> Tensor:
        x, weight_D, d = x.contiguous(), weight_D.contiguous(), x.shape[-1]
        y, inverse_N = torch.empty_like(x), x.new_empty(x.numel() // d)
        _call("norm_forward", x, weight_D, y, inverse_N, len(inverse_N), d, epsilon)
        ctx.save_for_backward(x, weight_D, inverse_N)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_D, inverse_N = ctx.saved_tensors
        grad, grad_x, d = grad.contiguous(), torch.empty_like(x), x.shape[-1]
        _call("norm_backward", x, weight_D, inverse_N, grad, grad_x, len(inverse_N), d)
        grad_weight_D = None
        if ctx.needs_input_grad[1]:
            scaled_ND = x.reshape(-1, d) * inverse_N[:, None]
            grad_weight_D = scaled_ND.mul_(grad.reshape(-1, d)).sum(0)
        return grad_x, grad_weight_D, None


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up for two tensors of one shape and type, fp32 or bf16; differentiable once."""
    return _SwiGLU.apply(gate, up)  # type: ignore[no-any-return, no-untyped-call]


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        y = torch.empty_like(gate)
        _call(f"swiglu_forward_{SUFFIX[gate.dtype]}", gate, up, y, gate.numel())
        ctx.save_for_backward(gate, up)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        grad, grad_gate, grad_up = grad.contiguous(), torch.empty_like(gate), torch.empty_like(up)
        _call(f"swiglu_backward_{SUFFIX[gate.dtype]}", gate, up, grad, grad_gate, grad_up, gate.numel())
        return grad_gate, grad_up


def rotary(x_BHTE: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
    """x, fp32 or bf16, turned to its positions: x cos + (-x2, x1) sin for the halves (x1, x2) of E; fp32 inside.

    cos and sin (B or 1, T, E) fp32 with two equal halves, as transformers makes them. The result is stored token by
    token, as attention reads it. Differentiable once, in x.
    """
    return _Rotary.apply(x_BHTE, cos_BTE, sin_BTE)  # type: ignore[no-any-return, no-untyped-call]


class _Rotary(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        cos, sin = cos.contiguous(), sin.contiguous()
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin, 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turn(grad, cos, sin, -1.0), None, None


def _turn(x_BHTE: Tensor, cos_BTE: Tensor, sin_BTE: Tensor, sign: float) -> Tensor:
    if x_BHTE.stride(-1) != 1:
        x_BHTE = x_BHTE.contiguous()
    x_BTHE = x_BHTE.transpose(1, 2)
    y_BTHE = torch.empty_like(x_BTHE, memory_format=torch.contiguous_format)
    layout = tuple(x_BTHE.shape), x_BTHE.stride()[:3], y_BTHE.stride()[:3]
    angle_stride = cos_BTE.stride(0) if len(cos_BTE) > 1 else 0
    _call(f"rotary_{SUFFIX[x_BTHE.dtype]}", x_BTHE, cos_BTE, sin_BTE, y_BTHE, *layout, angle_stride, sign)
    return y_BTHE.transpose(1, 2)
