"""Drift of neurons in one pass: change of hyperspherical energy and of every angle between two neurons.

models.geometry says what these are and computes them in fp64; here the products are fp32 and the sums fp64. What is
summed is the change itself, not the difference of two large numbers. With E = U' - U, the change of the directions,

    u'_i u'_j - u_i u_j = e_i u_j + u'_i e_j

is a product whose rounding is as small as E, and energy (1/d, d^2 = 2 - 2 cos) and angle change by

    1/d' - 1/d = 2 change / (d d' (d + d')),   sin((t' - t) / 2) = -2 change / (d' p + d p'),

where d = |u_i - u_j| and p = |u_i + u_j|.

Neurons that point nearly the same or opposite ways have lost their angle in an fp32 cosine; these pairs are computed
in fp64, and a weight with many of them is.

Shapes: O neurons, D inputs, R rows of a tile, C columns of it, N near pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ropo_bench.models.geometry import NEAREST, energy_drift, neuron_angle_drift

TILE = {"cpu": (128, 512), "cuda": (2048, 8192)}  # rows and columns: in a CPU's caches; enough for a GPU
NEAR = 0.25  # a distance from the same or the opposite direction, below which fp32 holds less than six digits of it
FAR = 1 - NEAR**2 / 2  # the size of the cosine there
MANY_NEAR = 0.02  # of all pairs
SMALL = 5e-4  # a sine that is its angle, to fp32
NEAR_ELEMENTS = 1 << 22  # of rows that are subtracted at a time


class Drift(NamedTuple):
    """energy: HE / HE of the reference - 1. Angles in radians: the largest and the mean change over all pairs."""

    energy: float
    max_angle: float
    mean_angle: float


def neuron_drift(weight: Tensor, reference: Tensor) -> Drift:
    """From reference to weight, both (O, D), on the weight's device; all zero where they are equal bit for bit.

    As energy_drift and neuron_angle_drift of models.geometry give it, to 1e-6 of it and 1e-9.
    """
    reference = reference.to(weight.device)
    if weight.equal(reference.to(weight.dtype)):
        return Drift(0.0, 0.0, 0.0)
    alive_O = (weight != 0).any(1)
    if len(weight) < 2 or not alive_O.equal((reference != 0).any(1)):
        return _drift_in_fp64(weight, reference)
    new_OD, old_OD = _directions(weight[alive_O]), _directions(reference[alive_O])
    sums = _Sums(new_OD, old_OD)
    for rows, columns in _tiles(len(new_OD), *TILE.get(weight.device.type, TILE["cuda"])):
        sums.add(rows, columns)
        if sums.num_near > MANY_NEAR * len(new_OD) ** 2 + 64:
            return _drift_in_fp64(weight, reference)
    return sums.drift()


def _drift_in_fp64(weight: Tensor, reference: Tensor) -> Drift:
    angles = neuron_angle_drift(weight, reference)
    return Drift(energy_drift(weight, reference), angles.max, angles.mean)


def _directions(weight: Tensor) -> Tensor:
    wide = weight.detach().double()
    directions: Tensor = wide / wide.norm(dim=1, keepdim=True)
    return directions


def _tiles(size: int, height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """All pairs once: tiles right of the diagonal, and those on it, which hold theirs twice."""
    for start in range(0, size, height):
        stop = min(start + height, size)
        yield slice(start, stop), slice(start, stop)
        for left in range(stop, size, width):
            yield slice(start, stop), slice(left, min(left + width, size))


class _Sums:
    """Energy before, its change, and changes of angles, over the pairs (i, j), i != j, of the tiles so far."""

    def __init__(self, new_OD: Tensor, old_OD: Tensor) -> None:
        self._wide = new_OD, old_OD
        change_OD = (new_OD - old_OD).float()
        self._old_OD = old_OD.float()
        self._left = torch.cat([change_OD, new_OD.float()], dim=1)
        self._right = torch.cat([self._old_OD, change_OD], dim=1)
        self._energy = self._gain = self._angles = self._largest = torch.zeros(
            (), dtype=torch.float64, device=new_OD.device
        )
        self.num_near = 0

    def add(self, rows: slice, columns: slice) -> None:
        """Add a tile's pairs; those off the diagonal stand for (j, i), too."""
        times = 1 if rows == columns else 2
        cosine_RC = self._old_OD[rows] @ self._old_OD[columns].T
        change_RC = self._left[rows] @ self._right[columns].T
        other_RC = cosine_RC + change_RC
        masked = 0
        if rows == columns:
            masked = len(cosine_RC)
            for values_RC in (cosine_RC, change_RC, other_RC):
                values_RC.fill_diagonal_(0)
        if max(_size(cosine_RC), _size(other_RC)) > FAR:
            near_RC = torch.maximum(cosine_RC.abs(), other_RC.abs()) > FAR
            row_N, column_N = near_RC.nonzero(as_tuple=True)
            masked += len(row_N)
            self.num_near += times * len(row_N)
            self._add_near(row_N + rows.start, column_N + columns.start, times)
            for values_RC in (cosine_RC, change_RC, other_RC):
                values_RC.masked_fill_(near_RC, 0)
        # Without the factors of 2: d = sqrt(2) apart, p = sqrt(2) across.
        apart_RC, across_RC = cosine_RC.neg().add_(1).sqrt_(), cosine_RC.add_(1).sqrt_()
        new_apart_RC, new_across_RC = other_RC.neg().add_(1).sqrt_(), other_RC.add_(1).sqrt_()
        half_sine_RC = new_apart_RC.mul(across_RC).addcmul_(new_across_RC, apart_RC).reciprocal_().mul_(change_RC)
        angle_RC = half_sine_RC.abs_()
        if angle_RC.max() > SMALL:
            angle_RC.asin_()
        gain_RC = change_RC.div_((apart_RC + new_apart_RC).mul_(apart_RC).mul_(new_apart_RC))
        # What was masked is at right angles now: its energy is taken back, its changes are 0.
        energy = apart_RC.reciprocal_().sum(dtype=torch.float64) - masked
        self._energy = self._energy + times * 2**-0.5 * energy
        self._gain = self._gain + times * 2**-0.5 * gain_RC.sum(dtype=torch.float64)
        self._angles = self._angles + times * 2 * angle_RC.sum(dtype=torch.float64)
        self._largest = torch.maximum(self._largest, 2 * angle_RC.max().double())

    def _add_near(self, row_N: Tensor, column_N: Tensor, times: int) -> None:
        new_OD, old_OD = self._wide
        step = max(1, NEAR_ELEMENTS // new_OD.shape[1])
        for start in range(0, len(row_N), step):
            row, column = row_N[start : start + step], column_N[start : start + step]
            (after, new_angle), (before, old_angle) = (_apart(u[row], u[column]) for u in (new_OD, old_OD))
            change = (new_angle - old_angle).abs()
            self._energy = self._energy + times * (1 / before).sum()
            self._gain = self._gain + times * (1 / after - 1 / before).sum()
            self._angles = self._angles + times * change.sum()
            self._largest = torch.maximum(self._largest, change.max())

    def drift(self) -> Drift:
        """Of the whole weight."""
        size = len(self._old_OD)
        pairs = size * (size - 1)
        energy, gain, angles, largest = (
            float(value) for value in (self._energy, self._gain, self._angles, self._largest)
        )
        return Drift(gain / energy if energy else 0.0, largest, angles / pairs if pairs else 0.0)


def _size(cosine_RC: Tensor) -> float:
    low, high = torch.aminmax(cosine_RC)
    return max(-low.item(), high.item())


def _apart(u_ND: Tensor, v_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Distances, NEAREST at least, and angles, (N,), in fp64."""
    apart_N, across_N = (u_ND - v_ND).norm(dim=1), (u_ND + v_ND).norm(dim=1)
    return apart_N.clamp_min(NEAREST), 2 * torch.atan2(apart_N, across_N)
