"""The kernels' laws, run by test_givens_triton.py: under Triton's interpreter on the CPU, and on a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ropo_bench.adapters.ropo.givens import dense, rotate_backward, rotate_forward
from ropo_bench.adapters.ropo.kernels.triton import backward, forward
from ropo_bench.adapters.ropo.trees import Planes

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Thetas = list[Tensor | None]
planes_law = pytest.mark.parametrize("planes", ["shared", "mirror"])
transpose_law = pytest.mark.parametrize("transpose", [False, True])


def example(d: int, n: int, trees: str = "both", dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Thetas]:
    generator = torch.Generator().manual_seed(1000 * d + n)
    forward_, reverse = (torch.randn(d - 1, generator=generator).to(DEVICE) for _ in range(2))
    x_ND, grad_ND = (torch.randn(n, d, generator=generator).to(DEVICE, dtype) for _ in range(2))
    return x_ND, grad_ND, [forward_ if trees != "reverse" else None, reverse if trees != "forward" else None]


def exactly(x_ND: Tensor, grad_ND: Tensor, thetas: Thetas, planes: Planes, transpose: bool) -> Thetas:
    """y, dL/dx and both dL/dtheta in fp64: by autograd through the dense matrix while that is cheap."""
    x64_ND, grad64_ND = x_ND.double().requires_grad_(), grad_ND.double()
    leaves = [None if t is None else t.double().requires_grad_() for t in thetas]
    if x_ND.shape[1] > 100:
        y_ND = rotate_forward(x64_ND, (leaves[0], leaves[1]), planes, transpose)
        grad_x_ND, grads = rotate_backward(x64_ND, grad64_ND, (leaves[0], leaves[1]), planes, transpose)
        return [y_ND, grad_x_ND, *grads]
    matrix = dense(leaves[0], leaves[1], planes)
    y_ND = x64_ND @ (matrix if transpose else matrix.T)
    y_ND.backward(grad64_ND)
    return [y_ND.detach(), x64_ND.grad, *(None if leaf is None else leaf.grad for leaf in leaves)]


def check(x_ND: Tensor, grad_ND: Tensor, thetas: Thetas, planes: Planes, transpose: bool) -> None:
    ours = [
        forward(x_ND, thetas[0], thetas[1], planes, transpose),
        *backward(x_ND, grad_ND, thetas[0], thetas[1], planes, transpose),
    ]
    names = ("y", "grad_x", "grad_forward", "grad_reverse")
    for name, got, exact in zip(names, ours, exactly(x_ND, grad_ND, thetas, planes, transpose), strict=True):
        assert (got is None) == (exact is None), name
        if got is None or exact is None:
            continue
        dtype = x_ND.dtype if name in {"y", "grad_x"} else torch.float32
        assert got.dtype == dtype, name
        # In half precision fp32 errors may land a number on the other side of a rounding: one step of it.
        rtol = 1e-5 if dtype == torch.float32 else torch.finfo(dtype).eps
        torch.testing.assert_close(got.double(), exact.to(dtype).double(), atol=3e-5, rtol=rtol)


@planes_law
@transpose_law
@pytest.mark.parametrize("trees", ["both", "forward", "reverse"])
def test_every_tree_and_direction_is_the_dense_product(trees: str, planes: Planes, transpose: bool) -> None:
    check(*example(40, 5, trees), planes, transpose)


@planes_law
@pytest.mark.parametrize("d", [2, 3, 5, 8, 33, 96, 100, 768])
def test_widths_around_the_tail_and_beyond(d: int, planes: Planes) -> None:
    check(*example(d, 3), planes, transpose=False)


@planes_law
@pytest.mark.parametrize("n", [0, 1, 37])
def test_any_number_of_tokens(n: int, planes: Planes) -> None:
    check(*example(48, n), planes, transpose=True)


@planes_law
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_turned_in_float32_and_rounded_once(dtype: torch.dtype, planes: Planes) -> None:
    check(*example(100, 5, dtype=dtype), planes, transpose=False)


@planes_law
def test_angles_zero_change_no_bit(planes: Planes) -> None:
    x_ND, grad_ND, _ = example(100, 5)
    zero = torch.zeros(99, device=DEVICE)
    assert torch.equal(forward(x_ND, zero, zero, planes, False), x_ND)
    assert torch.equal(backward(x_ND, grad_ND, zero, zero, planes, True)[0], grad_ND)


def test_one_feature_has_no_angle() -> None:
    x_ND, grad_ND, thetas = example(1, 4)
    assert torch.equal(forward(x_ND, *thetas, "shared", False), x_ND)
    shapes = [g.shape for g in backward(x_ND, grad_ND, *thetas, "shared", False) if g is not None]
    assert shapes == [(4, 1), (0,), (0,)]


@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU; the interpreter would take minutes at these sizes")
@planes_law
@transpose_law
@pytest.mark.parametrize("d", [2048, 4096, 8192, 14336])
def test_full_sizes_on_a_gpu_are_the_torch_path_and_repeat(d: int, planes: Planes, transpose: bool) -> None:
    x_ND, grad_ND, (f, r) = example(d, 1001, dtype=torch.bfloat16)
    exact = exactly(x_ND, grad_ND, [f, r], planes, transpose)
    y_ND = forward(x_ND, f, r, planes, transpose)
    ours, again = (backward(x_ND, grad_ND, f, r, planes, transpose) for _ in range(2))
    for rounded, sure in zip((y_ND, ours[0]), exact, strict=False):
        torch.testing.assert_close(rounded.double(), sure, atol=1e-4, rtol=2**-7)
    torch.testing.assert_close([g.double() for g in ours[1:]], exact[2:], atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(ours, again, atol=0, rtol=0)
