"""Memory for large results, taken again from results that are gone: fresh pages cost more than a rotation.

The C library gives blocks of 32 MiB and more back to the system at once, so that every new tensor of that size pays
for its pages again, and for moving other memory together where the system makes large pages of them.
"""

from __future__ import annotations

import mmap
import weakref

import numpy as np
import torch
from torch import Tensor

LARGE_BYTES = 32 << 20
KEPT_BLOCKS = 2  # what a layer needs at once: its result, and its gradient in the backward pass

_free: list[mmap.mmap] = []


def empty_like(x: Tensor) -> Tensor:
    """torch.empty_like for a contiguous CPU tensor; of LARGE_BYTES and more from blocks that are kept."""
    if x.nbytes < LARGE_BYTES:
        return torch.empty_like(x)
    block = _take(x.nbytes)
    lease = np.frombuffer(block, np.uint8, x.nbytes)
    weakref.finalize(lease, _give_back, block).atexit = False
    return torch.from_numpy(lease).view(x.dtype).view(x.shape)


def _take(size: int) -> mmap.mmap:
    """A kept block that fits without wasting half of it, the smallest, or a new one."""
    fitting = [block for block in _free if size <= len(block) <= 2 * size]
    for block in sorted(fitting, key=len):
        try:
            _free.remove(block)
        except ValueError:  # another thread took it
            continue
        return block
    return mmap.mmap(-1, size)


def _give_back(block: mmap.mmap) -> None:
    """Keep a block whose tensor is gone; those kept longest are given back to the system."""
    _free.append(block)
    del _free[:-KEPT_BLOCKS]
