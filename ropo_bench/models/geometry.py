"""Geometry of neurons: hyperspherical energy, angles between neurons, orthogonality of a rotation.

A neuron is a row of a weight (O neurons, D inputs). Rotations of the input dimension and positive
magnitudes keep every angle between neurons, hence the energy (OFT, arXiv 2306.07280; MHE, arXiv 1805.09298).
Everything accumulates in fp64, a chunk of rows against all rows at a time. A row of zeros has no direction
and is left out. Distances come from cosines, which know them to 1e-8 only; neighbours and opposites nearer than
EXACT_BELOW are subtracted and added row by row instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

CHUNK_ROWS = 512
EXACT_BELOW = 1e-3  # here 2 - 2 cos still holds nine digits of the squared distance
EXACT_ELEMENTS = 1 << 24  # of rows that are subtracted at a time
# Directions nearer than this (in radians) count as this far apart: rounding to fp32 moves a direction by up to 1e-7,
# and the energy of such a pair would be that rounding's. Equal neurons, whose energy is infinite, have a finite one.
NEAREST = 1e-4


class AngleDrift(NamedTuple):
    """Change of the angles between all pairs of neurons, in radians."""

    max: float
    mean: float


def hyperspherical_energy(weight: Tensor, s: Literal[0, 1, 2] = 1) -> float:
    """Sum over i != j of |w_i/|w_i| - w_j/|w_j||^-s, for s = 0 of log(1/distance).

    weight (O, D). Distances below NEAREST count as NEAREST.
    """
    directions = _directions(weight)
    total = torch.zeros((), dtype=torch.float64, device=weight.device)
    for rows, cosines in _cosine_chunks(directions):
        distances = _distances(cosines, rows, directions, -1).clamp_min_(NEAREST)
        terms = -distances.log() if s == 0 else distances**-s
        _skip_self(terms, rows)
        total += terms.sum()
    return total.item()


def energy_drift(weight: Tensor, reference: Tensor, s: Literal[0, 1, 2] = 1) -> float:
    """HE(weight) / HE(reference) - 1, without unit; 0 for a single neuron."""
    before = hyperspherical_energy(reference, s)
    return hyperspherical_energy(weight, s) / before - 1 if before else 0.0


def neuron_angle_drift(weight: Tensor, reference: Tensor) -> AngleDrift:
    """Largest and mean change of the angle between two neurons, over all pairs; both weights (O, D).

    The angle is 2 atan2(|u - v|, |u + v|), exact near 0 and pi where arccos is not.
    """
    alive = (weight != 0).any(dim=1) & (reference != 0).any(dim=1)
    new, old = _directions(weight[alive]), _directions(reference[alive])
    largest, total = 0.0, 0.0
    for (rows, cosines), (_, before) in zip(_cosine_chunks(new), _cosine_chunks(old), strict=True):
        change = (_angles(cosines, rows, new) - _angles(before, rows, old)).abs_()
        _skip_self(change, rows)
        largest, total = max(largest, change.max().item()), total + change.sum().item()
    pairs = len(new) * (len(new) - 1)
    return AngleDrift(largest, total / pairs if pairs else 0.0)


def orthogonality_error(matrix: Tensor) -> float:
    """max |R^T R - I| of a square matrix or of a batch of square blocks (..., D, D), in fp64."""
    rotation = matrix.double()
    eye = torch.eye(rotation.shape[-1], dtype=torch.float64, device=rotation.device)
    return (rotation.mT @ rotation - eye).abs().max().item()


def _directions(weight: Tensor) -> Tensor:
    weight = weight.detach().double()
    norm = weight.norm(dim=1, keepdim=True)
    directions: Tensor = (weight / norm)[norm[:, 0] > 0]
    return directions


def _cosine_chunks(directions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """(row numbers, their cosines with all rows) chunk by chunk: (C,), (C, O)."""
    for start in range(0, len(directions), CHUNK_ROWS):
        chunk = directions[start : start + CHUNK_ROWS]
        yield torch.arange(start, start + len(chunk), device=chunk.device), chunk @ directions.T


def _skip_self(values_CO: Tensor, rows: Tensor) -> None:
    values_CO[torch.arange(len(rows), device=rows.device), rows] = 0


def _angles(cosines_CO: Tensor, rows: Tensor, directions: Tensor) -> Tensor:
    apart = _distances(cosines_CO, rows, directions, -1)
    return 2 * torch.atan2(apart, _distances(cosines_CO, rows, directions, 1))


def _distances(cosines_CO: Tensor, rows: Tensor, directions: Tensor, sign: Literal[-1, 1]) -> Tensor:
    """|u - v| (sign -1) or |u + v| (sign 1) of every pair of a chunk, (C, O), to fp64's rounding."""
    squared_CO = (2 + 2 * sign * cosines_CO).clamp_min_(0)
    row_N, column_N = (squared_CO < EXACT_BELOW**2).nonzero(as_tuple=True)
    step = max(1, EXACT_ELEMENTS // directions.shape[1])
    for start in range(0, len(row_N), step):
        row, column = row_N[start : start + step], column_N[start : start + step]
        apart_ND = directions[rows[row]] + sign * directions[column]
        squared_CO[row, column] = apart_ND.square().sum(1)
    return squared_CO.sqrt_()
