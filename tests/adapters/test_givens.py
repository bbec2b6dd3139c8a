"""BIG's laws: the fast path is the dense definition, forward and backward; orthogonal; transitive."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ropo_bench.adapters.ropo.givens import dense, rotate, solve
from ropo_bench.adapters.ropo.trees import Planes, tree_rounds

PLANES: list[Planes] = ["shared", "mirror"]
SIZES = [1, 2, 3, 5, 8, 11, 16, 48, 63]
planes_law = pytest.mark.parametrize("planes", PLANES)


def angles(d: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    forward, reverse = torch.randn(2, d - 1, generator=generator, dtype=dtype)
    return forward, reverse


def test_worked_example_of_five_features() -> None:
    # Rounds of the forward tree at d = 5: (0,1) (2,3), then (0,2), then (0,4); index 4 waits for the third.
    x = torch.tensor([1.0, 0, 0, 0, 0], dtype=torch.float64)
    quarter = torch.pi / 2
    for angle, lands_on in enumerate([1, 0, 2, 4]):  # theta[1] turns the plane (2, 3), where x is zero
        theta = torch.zeros(4, dtype=torch.float64)
        theta[angle] = quarter
        assert rotate(x, theta, None).argmax() == lands_on
    # The mirror tree at d = 5: (0,1), then (0,2) (1,3), then (0,4).
    for angle, lands_on in enumerate([1, 2, 0, 4]):
        theta = torch.zeros(4, dtype=torch.float64)
        theta[angle] = quarter
        assert rotate(x, None, theta, "mirror").argmax() == lands_on


@planes_law
@pytest.mark.parametrize("d", [1, 2, 3, 48, 4096, 14336])
def test_a_tree_has_one_angle_for_every_index_but_the_first(d: int, planes: Planes) -> None:
    rounds = tree_rounds(d, planes)
    seconds = [j for r in rounds for j in range(*r.second.indices(d))]
    assert sorted(seconds) == list(range(1, d))
    assert len(rounds) == (d - 1).bit_length()
    assert [k for r in rounds for k in range(*r.angles.indices(d))] == list(range(d - 1))


@planes_law
@pytest.mark.parametrize("d", SIZES)
@pytest.mark.parametrize("trees", ["both", "forward", "reverse"])
def test_rotate_is_the_dense_product(d: int, planes: Planes, trees: str) -> None:
    forward, reverse = angles(d)
    f = forward if trees != "reverse" else None
    r = reverse if trees != "forward" else None
    x = torch.randn(3, 2, d, dtype=torch.float64)
    matrix = dense(f, r, planes)
    torch.testing.assert_close(rotate(x, f, r, planes), x @ matrix.T)
    torch.testing.assert_close(rotate(x, f, r, planes, transpose=True), x @ matrix)


@planes_law
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("trees", ["both", "forward", "reverse"])
@pytest.mark.parametrize("d", [2, 5, 12])
def test_backward_is_the_derivative(d: int, planes: Planes, transpose: bool, trees: str) -> None:
    forward, reverse = (t.requires_grad_() for t in angles(d))
    x = torch.randn(4, d, dtype=torch.float64, requires_grad=True)
    f = forward if trees != "reverse" else None
    r = reverse if trees != "forward" else None
    inputs = [t for t in (x, f, r) if t is not None]

    def rotated(*given: Tensor) -> Tensor:
        rest = iter(given[1:])
        return rotate(
            given[0],
            next(rest) if f is not None else None,
            next(rest) if r is not None else None,
            planes,
            transpose,
        )

    assert torch.autograd.gradcheck(rotated, inputs)


@planes_law
def test_backward_over_several_slabs_is_autograd_through_the_dense_matrix(
    planes: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropo_bench.adapters.ropo.givens.SLAB_NUMBERS", 64)
    inputs = [*angles(11), torch.randn(2, 13, 11, dtype=torch.float64)]
    weight = torch.randn(2, 13, 11, dtype=torch.float64)
    grads = []
    for by_matrix in (False, True):
        f, r, x = (t.clone().requires_grad_() for t in inputs)
        y = x @ dense(f, r, planes).T if by_matrix else rotate(x, f, r, planes)
        (y * weight).sum().backward()
        grads.append((f.grad, r.grad, x.grad))
    torch.testing.assert_close(grads[0], grads[1])


@planes_law
def test_frozen_angles_pass_the_gradient_on(planes: Planes) -> None:
    forward, reverse = angles(9)
    x = torch.randn(4, 9, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(rotate(x, forward, reverse, planes).sum(), x)
    torch.testing.assert_close(grad, torch.ones_like(x) @ dense(forward, reverse, planes))


def test_transpose_of_shared_planes_swaps_and_negates_the_angles() -> None:
    forward, reverse = angles(21)
    x = torch.randn(5, 21, dtype=torch.float64)
    torch.testing.assert_close(rotate(x, forward, reverse, transpose=True), rotate(x, -reverse, -forward))
    mirrored = rotate(x, forward, reverse, "mirror", transpose=True)
    assert not torch.allclose(mirrored, rotate(x, -reverse, -forward, "mirror"))


@planes_law
def test_float32_rotations_are_orthogonal_and_invert(planes: Planes) -> None:
    forward, reverse = angles(4096, dtype=torch.float32)
    x = torch.randn(7, 4096)
    back = rotate(rotate(x, forward, reverse, planes), forward, reverse, planes, transpose=True)
    torch.testing.assert_close(back, x, atol=1e-5, rtol=0)
    matrix = rotate(torch.eye(192), *angles(192, dtype=torch.float32), planes).double()
    assert (matrix @ matrix.T - torch.eye(192)).abs().max() < 1e-5


@planes_law
def test_angles_zero_change_no_bit(planes: Planes) -> None:
    x = torch.randn(6, 37)
    assert torch.equal(rotate(x, torch.zeros(36), torch.zeros(36), planes), x)
    assert torch.equal(rotate(x.bfloat16(), torch.zeros(36), torch.zeros(36), planes), x.bfloat16())


@planes_law
def test_bfloat16_input_is_rotated_in_float32_and_rounded_once(planes: Planes) -> None:
    forward, reverse = angles(64, dtype=torch.float32)
    x = torch.randn(9, 64).bfloat16()
    y = rotate(x, forward, reverse, planes)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, rotate(x.float(), forward, reverse, planes).bfloat16())


@planes_law
@settings(max_examples=60, deadline=None)
@given(d=st.integers(2, 70), seed=st.integers(0, 2**31), zeros=st.floats(0, 0.9))
def test_any_vector_reaches_any_other_of_its_norm(planes: Planes, d: int, seed: int, zeros: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, d, generator=generator, dtype=torch.float64)
    y = torch.where(torch.rand(d, generator=generator) < zeros, 0.0, y)
    y[-1] = 1.0  # so that y is not zero
    y *= x.norm() / y.norm()
    forward, reverse = solve(x, y, planes)
    torch.testing.assert_close(rotate(x, forward, reverse, planes), y)


def test_solve_refuses_different_norms() -> None:
    with pytest.raises(ValueError, match="keeps the norm"):
        solve(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))


@pytest.mark.parametrize(("planes", "rank"), [("shared", 15), ("mirror", 2 * 15 - 4)])
def test_rank_of_the_tangent_space_at_identity(planes: Planes, rank: int) -> None:
    zero = torch.zeros(15, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda f, r: dense(f, r, planes), (zero, zero))
    tangents = torch.cat([j.reshape(256, 15) for j in jacobian], dim=1)
    assert torch.linalg.matrix_rank(tangents) == rank
