"""L1-regularised weighted logistic regressions, several hundred at once: the same items, other weights.

min over w of |w|_1 + c * sum_x weight_x * (log(1 + e^(z_x)) - target_x * z_x), z = features w, by proximal Newton
steps: a quadratic model of the loss, whose minimum with |w|_1 is found exactly (there are 3^F sign patterns, F is 2
or 3), and a line search. Shapes: R replicates, X items, F features, K features that all replicates share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Elements of an array (rows x items) that stay in a core's cache; only speed depends on it.
_CHUNK = 1 << 15
_MAX_STEPS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Block:
    """Items of all replicates: features, targets (0..1) and weights.

    own_RX: the first feature where it differs between replicates, else None. shared_XK: the other features, or all.
    weight_RX: (R, X), or (1, X) where all replicates weigh alike.
    """

    own_RX: Array | None
    shared_XK: Array
    target_X: Array
    weight_RX: Array

    def rows(self, chosen: slice | NDArray[np.intp]) -> Block:
        """The block of some replicates."""
        own_RX = None if self.own_RX is None else self.own_RX[chosen]
        weight_RX = self.weight_RX if len(self.weight_RX) == 1 else self.weight_RX[chosen]
        return replace(self, own_RX=own_RX, weight_RX=weight_RX)


@dataclass(slots=True)
class _Point:
    """Coefficients and, there, the smooth part of the objective (c included), its gradient and its Hessian."""

    w_RF: Array
    value_R: Array
    gradient_RF: Array
    hessian_RFF: Array

    @classmethod
    def of(cls, blocks: Sequence[Block], w_RF: Array, c: float) -> _Point:
        R, F = w_RF.shape
        point = cls(w_RF, np.zeros(R), np.zeros((R, F)), np.zeros((R, F, F)))
        for block in blocks:
            step = max(1, _CHUNK // len(block.target_X))
            for start in range(0, R, step):
                some = slice(start, start + step)
                point._add(some, block.rows(some), c)
        return point

    def _add(self, some: slice, block: Block, c: float) -> None:
        own_RX, shared_XK, w_RF = block.own_RX, block.shared_XK, self.w_RF[some]
        shift = 0 if own_RX is None else 1
        z_RX = w_RF[:, shift:] @ shared_XK.T
        if own_RX is not None:
            z_RX += w_RF[:, :1] * own_RX
        small_RX = np.exp(-np.abs(z_RX))
        total_RX = 1 + small_RX
        p_RX = np.where(z_RX > 0, 1.0, small_RX) / total_RX
        loss_RX = np.log(total_RX) + np.maximum(z_RX, 0) - block.target_X * z_RX
        weight_RX = c * block.weight_RX
        self.value_R[some] += np.einsum("rx,rx->r", *np.broadcast_arrays(weight_RX, loss_RX))
        slope_RX = weight_RX * (p_RX - block.target_X)
        bend_RX = weight_RX * (small_RX / (total_RX * total_RX))
        gradient_RF, hessian_RFF = self.gradient_RF[some], self.hessian_RFF[some]
        gradient_RF[:, shift:] += slope_RX @ shared_XK
        K = shared_XK.shape[1]
        squares_XKK = shared_XK[:, :, None] * shared_XK[:, None, :]
        hessian_RFF[:, shift:, shift:] += (bend_RX @ squares_XKK.reshape(-1, K * K)).reshape(-1, K, K)
        if own_RX is not None:
            gradient_RF[:, 0] += np.einsum("rx,rx->r", slope_RX, own_RX)
            bend_RX *= own_RX
            hessian_RFF[:, 0, 0] += np.einsum("rx,rx->r", bend_RX, own_RX)
            cross_RK = bend_RX @ shared_XK
            hessian_RFF[:, 0, 1:] += cross_RK
            hessian_RFF[:, 1:, 0] += cross_RK

    def rows(self, chosen: NDArray[np.intp]) -> _Point:
        return _Point(self.w_RF[chosen], self.value_R[chosen], self.gradient_RF[chosen], self.hessian_RFF[chosen])

    def put(self, chosen: NDArray[np.intp], other: _Point) -> None:
        self.w_RF[chosen], self.value_R[chosen] = other.w_RF, other.value_R
        self.gradient_RF[chosen], self.hessian_RFF[chosen] = other.gradient_RF, other.hessian_RFF

    def objective(self) -> Array:
        return self.value_R + _norm(self.w_RF)


def solve(blocks: Sequence[Block], c: float, start_RF: Array) -> Array:
    """The coefficients (R, F) of every replicate; the optimality conditions hold to 1e-10 of the total weight.

    start_RF: where to begin; the objective is convex, so that only speed depends on it.
    """
    point = _Point.of(blocks, start_RF.copy(), c)
    scale_R = 1 + c * sum(block.weight_RX.sum(axis=1) for block in blocks)
    target_RF = _model_minimum(point)
    length_R = np.ones(len(start_RF))
    for _ in range(_MAX_STEPS):
        (open_,) = np.nonzero(_violation(point) > _TOLERANCE * scale_R)
        if not len(open_):
            break
        current = point.rows(open_)
        step_RF = target_RF[open_] - current.w_RF
        trial = _Point.of([block.rows(open_) for block in blocks], current.w_RF + length_R[open_, None] * step_RF, c)
        # What the model promises for a whole step, never above 0; a part of a step must keep some of its part.
        gain_R = (current.gradient_RF * step_RF).sum(axis=1) + _norm(target_RF[open_]) - _norm(current.w_RF)
        rounding_R = 1e-14 * (1 + current.objective())
        good = trial.objective() <= current.objective() + 1e-4 * length_R[open_] * gain_R + rounding_R
        accepted = open_[good]
        point.put(accepted, trial.rows(np.flatnonzero(good)))
        target_RF[accepted] = _model_minimum(point.rows(accepted))
        length_R[open_] = np.where(good, 1.0, length_R[open_] / 2)
    return point.w_RF


def _violation(point: _Point) -> Array:
    """By how much (R,) 0 is not in gradient + sign(w), where [-1, 1] is the sign of 0."""
    slope_RF = np.abs(point.gradient_RF + np.sign(point.w_RF))
    worst: Array = np.where(point.w_RF == 0, np.maximum(slope_RF - 1, 0), slope_RF).max(axis=1)
    return worst


def _norm(w_RF: Array) -> Array:
    total: Array = np.abs(w_RF).sum(axis=1)
    return total


def _model_minimum(point: _Point) -> Array:
    """The minimum (R, F) of the quadratic model plus |w|_1, exactly: of the signs that prove themselves right."""
    R, F = point.w_RF.shape
    # A trace on the diagonal keeps the model bounded where a feature is constant 0 or all is separated.
    ridge_R = 1e-10 * (1 + np.trace(point.hessian_RFF, axis1=1, axis2=2))
    hessian_RFF = point.hessian_RFF + ridge_R[:, None, None] * np.eye(F)
    linear_RF = np.einsum("rfg,rg->rf", hessian_RFF, point.w_RF) - point.gradient_RF
    best_RF, best_R = np.zeros((R, F)), np.full(R, np.inf)
    # First the signs of here, which rarely change, then those without |w|_1; then all there are.
    likely = (np.sign(point.w_RF), np.sign(_solve_systems(hessian_RFF, linear_RF)))
    for sign_RF in chain(likely, (np.tile(signs, (R, 1)) for signs in product((-1.0, 0.0, 1.0), repeat=F))):
        open_ = np.flatnonzero(best_R > 0)
        if not len(open_):
            break
        u_RF, wrong_R = _with_signs(hessian_RFF[open_], linear_RF[open_], sign_RF[open_])
        better = wrong_R < best_R[open_]
        best_RF[open_[better]], best_R[open_[better]] = u_RF[better], wrong_R[better]
    return best_RF


def _with_signs(hessian_RFF: Array, linear_RF: Array, sign_RF: Array) -> tuple[Array, Array]:
    """Minimum of u H u / 2 - linear u + sign u, u 0 where the sign is; and by how much it is not that of |u|_1."""
    on_RF = sign_RF != 0
    system_RFF = np.where(on_RF[:, :, None] & on_RF[:, None, :], hessian_RFF, np.eye(sign_RF.shape[1]))
    u_RF = _solve_systems(system_RFF, np.where(on_RF, linear_RF - sign_RF, 0.0))
    slope_RF = np.einsum("rfg,rg->rf", hessian_RFF, u_RF) - linear_RF
    diagonal_RF = np.diagonal(hessian_RFF, axis1=1, axis2=2)
    wrong_RF = np.where(on_RF, np.maximum(-u_RF * sign_RF, 0) * diagonal_RF, np.maximum(np.abs(slope_RF) - 1, 0))
    return np.where(u_RF * sign_RF > 0, u_RF, 0.0), wrong_RF.max(axis=1)


def _solve_systems(system_RFF: Array, right_RF: Array) -> Array:
    return np.asarray(np.linalg.solve(system_RFF, right_RF[:, :, None])[:, :, 0], dtype=np.float64)
