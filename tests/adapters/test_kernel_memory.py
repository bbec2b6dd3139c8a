"""Large results of the kernels: memory that is taken again, and never shared by two tensors that live."""

from __future__ import annotations

import gc

import pytest
import torch

from ropo_bench.adapters.ropo.kernels import memory


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LARGE_BYTES", 1 << 16)
    monkeypatch.setattr(memory, "_free", [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_is_taken_again_only_when_its_tensor_is_gone(dtype: torch.dtype) -> None:
    x_ND = torch.ones(64, 1024, dtype=dtype)
    first_ND = memory.empty_like(x_ND)
    first_ND.fill_(1)
    view_D = first_ND[3]
    address = first_ND.data_ptr()
    del first_ND
    second_ND = memory.empty_like(x_ND)
    second_ND.fill_(2)
    assert second_ND.data_ptr() != address  # a view of the first is still there
    assert (view_D == 1).all()
    del view_D
    gc.collect()
    third_ND = memory.empty_like(x_ND)
    assert third_ND.data_ptr() == address
    assert (third_ND.shape, third_ND.dtype) == (x_ND.shape, dtype)
    assert (second_ND == 2).all()


def test_a_shorter_tensor_fits_a_longer_block_unless_half_would_be_wasted() -> None:
    long_ND = memory.empty_like(torch.empty(100, 1024))
    address = long_ND.data_ptr()
    del long_ND
    assert memory.empty_like(torch.empty(49, 1024)).data_ptr() != address
    assert memory.empty_like(torch.empty(51, 1024)).data_ptr() == address


def test_no_more_is_kept_than_a_layer_needs() -> None:
    tensors = [memory.empty_like(torch.empty(64, 1024)) for _ in range(5)]
    tensors.clear()
    assert len(memory._free) == memory.KEPT_BLOCKS
