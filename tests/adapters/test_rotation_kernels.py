"""The C kernels are the dense definition, and plain torch where they cannot be had."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ropo_bench.adapters.ropo import kernels
from ropo_bench.adapters.ropo.givens import dense, rotate
from ropo_bench.adapters.ropo.kernels import build, cpu
from ropo_bench.adapters.ropo.trees import Planes

CPU = torch.device("cpu")
PLANES: list[Planes] = ["shared", "mirror"]
planes_law = pytest.mark.parametrize("planes", PLANES)


@pytest.fixture
def _compiled() -> None:
    if kernels.path(CPU) != "c":
        pytest.skip("no C compiler here")


needs_compiler = pytest.mark.usefixtures("_compiled")


@pytest.fixture
def no_library() -> Iterator[None]:
    """The next rotation looks for the library anew, and so does the one after the test."""
    cpu.library.cache_clear()
    yield
    cpu.library.cache_clear()


def case(d: int, n: int = 19, seed: int = 0, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """x, dL/dy (N, D) and two trees' angles, in fp32 numbers."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(n, d), (n, d), (d - 1,), (d - 1,)]
    return [torch.randn(size, generator=generator).to(dtype if len(size) == 2 else torch.float32) for size in sizes]


def by_matrix(
    x: Tensor, g: Tensor, f: Tensor | None, r: Tensor | None, planes: Planes, transpose: bool
) -> list[Tensor]:
    """y and the gradients of x and the angles, in fp64 through the dense matrix."""
    leaves = [None if t is None else t.double().requires_grad_() for t in (x, f, r)]
    matrix = dense(leaves[1], leaves[2], planes)
    assert leaves[0] is not None
    y = leaves[0] @ (matrix if transpose else matrix.T)
    y.backward(g.double())
    return [y.detach(), *(t.grad for t in leaves if t is not None and t.grad is not None)]


def by_rotate(
    x: Tensor, g: Tensor, f: Tensor | None, r: Tensor | None, planes: Planes, transpose: bool
) -> list[Tensor]:
    leaves = [None if t is None else t.clone().requires_grad_() for t in (x, f, r)]
    assert leaves[0] is not None
    y = rotate(leaves[0], leaves[1], leaves[2], planes, transpose)
    y.backward(g)
    return [y.detach(), *(t.grad for t in leaves if t is not None and t.grad is not None)]


@needs_compiler
@planes_law
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("trees", ["both", "forward", "reverse"])
@pytest.mark.parametrize("d", [2, 3, 5, 7, 16, 17, 33, 96, 100, 257])
def test_kernel_is_the_dense_product_to_fp32_rounding(d: int, planes: Planes, transpose: bool, trees: str) -> None:
    x, g, forward, reverse = case(d)
    given = (x, g, forward if trees != "reverse" else None, reverse if trees != "forward" else None)
    for found, wanted in zip(by_rotate(*given, planes, transpose), by_matrix(*given, planes, transpose), strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=2e-6 * (1 + wanted.abs().max().item()))


@needs_compiler
@planes_law
def test_a_wide_rotation_over_many_slabs_and_threads(planes: Planes) -> None:
    given = case(768, n=161)
    exact = [t.double() for t in given]
    wanted = by_rotate(*exact, planes, True)  # fp64 goes by plain torch
    torch.set_num_threads(2)
    try:
        found, again = by_rotate(*given, planes, True), by_rotate(*given, planes, True)
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))  # same threads, same bits
    for a, one_thread, b in zip(found, by_rotate(*given, planes, True), wanted, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=2e-6 * b.abs().max().item())
        torch.testing.assert_close(a, one_thread, rtol=0, atol=2e-6 * b.abs().max().item())


@needs_compiler
@planes_law
def test_any_leading_dimensions_and_strides(planes: Planes) -> None:
    x, _, forward, reverse = case(21, n=12)
    y = rotate(x, forward, reverse, planes)
    assert torch.equal(rotate(x.view(2, 3, 2, 21), forward, reverse, planes), y.view(2, 3, 2, 21))
    assert torch.equal(rotate(x[4], forward, reverse, planes), y[4])
    assert torch.equal(rotate(x.T.contiguous().T, forward, reverse, planes), y)
    assert torch.equal(rotate(x[::2], forward, reverse, planes), y[::2])
    assert torch.equal(rotate(torch.stack((x, x), -1)[..., 0], forward, reverse, planes), y)


@planes_law
@pytest.mark.parametrize("shape", [(0, 6), (3, 0, 6), (5, 1)])
def test_nothing_to_turn(planes: Planes, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, requires_grad=True)
    theta = torch.randn(shape[-1] - 1, requires_grad=True)
    y = rotate(x, theta, theta, planes)
    assert torch.equal(y, x)
    y.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    assert torch.equal(theta.grad, torch.zeros_like(theta))


@needs_compiler
@planes_law
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_angles_zero_change_no_bit(planes: Planes, dtype: torch.dtype) -> None:
    x = (torch.randn(33, 77) * 10.0 ** torch.randint(-3, 4, (33, 77))).to(dtype)
    assert torch.equal(rotate(x, torch.zeros(76), torch.zeros(76), planes, True), x)


@needs_compiler
@planes_law
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rotated_in_float32_and_rounded_once(planes: Planes, dtype: torch.dtype) -> None:
    x, g, forward, reverse = case(100, n=37, dtype=dtype)
    found = by_rotate(x, g, forward, reverse, planes, True)
    wanted = by_rotate(x.float(), g.float(), forward, reverse, planes, True)
    assert [t.dtype for t in found] == [dtype, dtype, torch.float32, torch.float32]
    assert all(torch.equal(a, b.to(a.dtype)) for a, b in zip(found, wanted, strict=True))


@needs_compiler
def test_large_angles() -> None:
    x, _, forward, reverse = case(40)
    f, r = forward * 3e3, reverse * 3e7
    wanted = x.double() @ dense(f.double(), r.double()).T
    torch.testing.assert_close(rotate(x, f, r).double(), wanted, rtol=0, atol=1e-5)


@needs_compiler
@planes_law
def test_a_broken_token_stays_alone(planes: Planes) -> None:
    x, _, forward, reverse = case(300, n=50)  # 300: padded on every level
    x[3] = torch.nan
    x[20, 7] = torch.inf
    y = rotate(x, forward, reverse, planes)
    whole = [i for i in range(50) if i not in (3, 20)]
    assert torch.isfinite(y[whole]).all()
    assert torch.equal(rotate(x[whole], forward, reverse, planes), y[whole])


@needs_compiler
@planes_law
def test_only_the_gradients_that_are_wanted(planes: Planes) -> None:
    x, g, forward, reverse = case(30)
    all_of_them = by_rotate(x, g, forward, reverse, planes, True)
    for wanted in [(True, False, False), (False, True, False), (False, True, True), (True, False, True)]:
        leaves = [t.clone().requires_grad_(on) for t, on in zip((x, forward, reverse), wanted, strict=True)]
        rotate(*leaves, planes, True).backward(g)
        for leaf, on, gradient in zip(leaves, wanted, all_of_them[1:], strict=True):
            assert leaf.grad is None if not on else torch.allclose(leaf.grad, gradient, atol=1e-5)


@needs_compiler
def test_modules_that_share_an_input_keep_it_once() -> None:
    x, _, forward, reverse = case(64)
    x.requires_grad_()
    kept: set[int] = set()

    def keep(tensor: Tensor) -> Tensor:
        kept.add(tensor.data_ptr())
        return tensor

    thetas = [t.clone().requires_grad_() for t in (forward, reverse, forward, reverse)]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        q, v = rotate(x, *thetas[:2]), rotate(x, *thetas[2:])
    assert kept == {t.data_ptr() for t in (x, *thetas)}
    (q + v).sum().backward()


@needs_compiler
def test_threads_are_those_of_torch() -> None:
    def runtimes() -> set[str]:
        lines = Path("/proc/self/maps").read_text().splitlines()
        return {line.split()[-1] for line in lines if "libgomp" in line or "libomp" in line or "libiomp" in line}

    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc here")
    before = runtimes()
    runtime = cpu.openmp_runtime()
    assert runtime is not None
    assert runtimes() == before
    runtime.omp_get_max_threads.restype = int
    for threads in (2, 1):
        torch.set_num_threads(threads)
        assert runtime.omp_get_max_threads() == threads


@needs_compiler
def test_the_switch() -> None:
    x, g, forward, reverse = case(50)
    fast = by_rotate(x, g, forward, reverse, "shared", True)
    kernels.enable(False)
    try:
        assert kernels.path(CPU) == "torch"
        slow = by_rotate(x, g, forward, reverse, "shared", True)
    finally:
        kernels.enable(True)
    assert kernels.path(CPU) == "c"
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize(
    ("compiler", "message"),
    [
        ("no-such-cc", "CC=no-such-cc is not on PATH; install one"),
        ("false", "false cannot compile cpu.c: exit status 1"),
    ],
)
def test_without_a_compiler_torch_rotates_and_says_so_once(
    compiler: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path))
    x, _, forward, reverse = case(12)
    with caplog.at_level(logging.WARNING):
        assert kernels.path(CPU) == "torch"
        y = rotate(x, forward, reverse)
        rotate(x, forward, reverse)
    torch.testing.assert_close(
        y.double(), x.double() @ dense(forward.double(), reverse.double()).T, rtol=0, atol=1e-5
    )
    assert len(caplog.records) == 1
    assert message in caplog.text
    assert not list(tmp_path.rglob("*.so"))


@pytest.mark.usefixtures("no_library")
def test_a_cache_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path / "file"))
    assert kernels.path(CPU) == "torch"
    assert "choose another folder with ROPO_BENCH_CACHE" in caplog.text or "no C compiler" in caplog.text


@needs_compiler
@pytest.mark.slow
def test_processes_that_start_together_leave_one_whole_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ROPO_BENCH_CACHE", str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        built = list(pool.map(lambda _: build.load(), range(2)))
    assert all(library.big_rotate for library in built)
    (library,) = (tmp_path / "kernels").iterdir()
    written = library.stat().st_mtime_ns
    build.load()
    assert library.stat().st_mtime_ns == written
