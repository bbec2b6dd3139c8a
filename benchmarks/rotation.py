"""BIG against other rotations and against copying memory: python -m benchmarks.rotation [--quick] [--json]

All sides of one shape take turns in one process; a cell is the median with the range over the rounds, a round the
mean of as many passes as take 30 ms. x is (tokens, d). PEFT's BOFT and HRA are measured as a layer of one neuron, the
cheapest that there is: BOFT builds a d x d matrix and multiplies x by it, HRA builds one and multiplies the weight by
it. BOFT's second factor needs PEFT's CUDA extension; its block diagonal, all that the extension does, is built by
torch here. floor: the copies x -> y and (g, y) -> gx, five tensor passes, into tensors that exist; "floor, new": into
new ones, as every rotation makes them, which pays for fresh memory too. Memory: peak of a forward and backward above
the inputs and parameters, of the resident set or of the GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from peft import BOFTConfig, HRAConfig, OFTConfig, get_peft_model
from peft.tuners.boft import layer as boft_layer
from torch import Tensor, nn

from benchmarks._measure import _memory_bytes
from benchmarks._results import Spread, spread, table
from ropo_bench.adapters.ropo import kernels
from ropo_bench.adapters.ropo.givens import rotate
from ropo_bench.runs.provenance import provenance
from ropo_bench.training.loop import peak_memory_bytes, reset_peak_memory

Rotation = Callable[[Tensor], Tensor]
MIB = 2**20
ROUND_SECONDS = 0.03
BIG_KERNEL, BIG_TORCH, FLOOR, FLOOR_NEW = "BIG, kernel", "BIG, plain torch", "floor", "floor, new"
OFT, BOFT, HRA, DENSE = "OFT b32, Cayley", "BOFT b8, 2 factors", "HRA r8", "dense matrix"
BARS = ((FLOOR, "at most 3x"), (OFT, "faster"), (BOFT, "at least 10x faster"))  # for BIG at d 4096, 8192 tokens


@dataclass(frozen=True, slots=True)
class Row:
    """One side of one shape; times in milliseconds, ratio: forward and backward over the floor's, round by round."""

    device: str
    dtype: str
    d: int
    num_tokens: int
    side: str
    forward_ms: Spread
    backward_ms: Spread
    ratio: Spread
    peak_bytes: int | None


class Copy(torch.autograd.Function):
    """The floor's five passes as a rotation would make them."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor) -> Tensor:
        ctx.save_for_backward(x_ND)
        return x_ND.clone()

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> Tensor:
        return torch.add(grad_ND, ctx.saved_tensors[0])


class BlockDiagonal:
    """In the place of PEFT's CUDA extension for BOFT: blocks (F, B, H, H) to (F, BH, BH), and gradients back."""

    def forward(self, blocks: Tensor) -> list[Tensor]:
        num_factors, num_blocks, size, _ = blocks.shape
        whole = blocks.new_zeros(num_factors, num_blocks, size, num_blocks, size)
        whole.diagonal(dim1=1, dim2=3).copy_(blocks.permute(0, 2, 3, 1))
        return [whole.view(num_factors, num_blocks * size, num_blocks * size)]

    def backward(self, grad: Tensor, blocks: Tensor) -> list[Tensor]:
        num_factors, num_blocks, size, _ = blocks.shape
        parts = grad.reshape(num_factors, num_blocks, size, num_blocks, size).diagonal(dim1=1, dim2=3)
        return [parts.permute(0, 3, 1, 2).contiguous()]


class OneNeuron(nn.Module):
    """A layer of one neuron for PEFT to adapt."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d, 1, bias=False)

    def forward(self, x_ND: Tensor) -> Tensor:
        """(N, 1)."""
        out: Tensor = self.linear(x_ND)
        return out


def big(d: int, device: str) -> Rotation:
    """R^T x, as RoPO's layers turn their input, with angles as after some training."""
    thetas = [(0.05 * torch.randn(d - 1, device=device)).requires_grad_() for _ in range(2)]
    return lambda x_ND: rotate(x_ND, thetas[0], thetas[1], transpose=True)


def peers(d: int, dtype: torch.dtype, device: str) -> dict[str, Rotation]:
    """The other rotations, with parameters that are not zero."""

    def adapted(config: Any) -> nn.Module:
        model = get_peft_model(OneNeuron(d), config).to(device, dtype)
        for parameter in model.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.02)
        return model  # type: ignore[no-any-return]

    target = ["linear"]
    boft_layer._FBD_CUDA = BlockDiagonal()
    oft = adapted(OFTConfig(target_modules=target, oft_block_size=32, use_cayley_neumann=False))
    boft = adapted(BOFTConfig(target_modules=target, boft_block_size=8, boft_n_butterfly_factor=2))
    matrix = torch.eye(d, dtype=dtype, device=device).requires_grad_()
    return {
        OFT: next(module for name, module in oft.named_modules() if name.endswith("oft_R.default")),
        BOFT: boft,
        HRA: adapted(HRAConfig(target_modules=target, r=8)),
        DENSE: lambda x_ND: x_ND @ matrix,
    }


@contextlib.contextmanager
def switched(side: str) -> Iterator[None]:
    """Kernels off for the plain side."""
    kernels.enable(side != BIG_TORCH)
    try:
        yield
    finally:
        kernels.enable(True)


def clock(device: str) -> float:
    """Seconds, after everything that was started is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def once(rotation: Rotation | None, x_ND: Tensor, grad_ND: Tensor, into: list[Tensor], device: str) -> list[float]:
    """Seconds of one forward and one backward; None is the floor."""
    x_ND.grad = None
    began = clock(device)
    if rotation is None:
        with torch.no_grad():
            into[0].copy_(x_ND)
            middle = clock(device)
            torch.add(grad_ND, into[0], out=into[1])
    else:
        y = rotation(x_ND)
        middle = clock(device)
        y.backward(grad_ND if y.shape == grad_ND.shape else grad_ND[:, : y.shape[1]])
    return [middle - began, clock(device) - middle]


def peak(run: Callable[[], object]) -> int:
    """Bytes above what is in use before."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    reset_peak_memory()
    before = _memory_bytes()
    run()
    return max(0, (peak_memory_bytes() or 0) - before)


def measure(d: int, num_tokens: int, dtype: torch.dtype, device: str, rounds: int, skip: Sequence[str]) -> list[Row]:
    """All sides of one shape, in turns."""
    torch.manual_seed(0)
    x_ND, grad_ND = (torch.randn(num_tokens, d, device=device).to(dtype) for _ in range(2))
    x_ND.requires_grad_()
    into = [torch.zeros_like(grad_ND) for _ in range(2)]
    turned = big(d, device)
    sides: dict[str, Rotation | None] = {
        FLOOR: None,
        FLOOR_NEW: Copy.apply,
        BIG_KERNEL: turned,
        BIG_TORCH: turned,
        **peers(d, dtype, device),
    }
    if kernels.path(torch.device(device)) == "torch":
        del sides[BIG_KERNEL]
    sides = {name: rotation for name, rotation in sides.items() if name not in skip}
    peaks: dict[str, int | None] = {}
    passes: dict[str, int] = {}
    seconds: dict[str, list[list[float]]] = {name: [] for name in sides}
    for name, rotation in sides.items():
        run = partial(once, rotation, x_ND, grad_ND, into, device)
        with switched(name):
            run()
            peaks[name] = peak(run) if rotation is not None else None
            passes[name] = max(1, int(ROUND_SECONDS / sum(run())))
    for _ in range(rounds):
        for name, rotation in sides.items():
            with switched(name):
                found = [once(rotation, x_ND, grad_ND, into, device) for _ in range(passes[name])]
            seconds[name].append([statistics.fmean(part) for part in zip(*found, strict=True)])
    floor = [sum(pair) for pair in seconds[FLOOR]]
    return [
        Row(
            device,
            str(dtype).removeprefix("torch."),
            d,
            num_tokens,
            name,
            spread([1e3 * pair[0] for pair in pairs]),
            spread([1e3 * pair[1] for pair in pairs]),
            spread([sum(pair) / base for pair, base in zip(pairs, floor, strict=True)]),
            peaks[name],
        )
        for name, pairs in seconds.items()
    ]


def markdown(rows: Sequence[Row], cuda: bool) -> str:
    """The table, and under it the bars where their shape was measured."""
    headers = ["device", "d", "tokens", "rotation", "forward ms", "backward ms", "x floor", "peak MiB"]
    cells = [
        [
            f"{row.device} {row.dtype}",
            str(row.d),
            str(row.num_tokens),
            row.side,
            row.forward_ms.text(),
            row.backward_ms.text(),
            row.ratio.text(),
            "" if row.peak_bytes is None else f"{row.peak_bytes / MIB:.0f}",
        ]
        for row in rows
    ]
    if not cuda:
        cells.append(["cuda", "", "", "all", *["not measured"] * 4])
    lines = [table(headers, cells, left=4)]
    at = {row.side: row for row in rows if (row.device, row.d, row.num_tokens) == ("cpu", 4096, 8192)}
    if BIG_KERNEL in at:
        ours = at[BIG_KERNEL].ratio.median
        said = [
            f"{ours:.2f}x the floor" if name == FLOOR else f"{at[name].ratio.median / ours:.1f}x faster than {name}"
            for name, _ in BARS
            if name in at
        ]
        bars = ", ".join(f"{bar} ({name})" for name, bar in BARS)
        lines.append(f"\nBIG at d 4096 and 8192 tokens, fp32: {', '.join(said)}. Bars: {bars}.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--d", type=int, nargs="+", default=[768, 1024, 4096])
    parser.add_argument("--tokens", type=int, nargs="+", default=[2048, 8192])
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="on the CPU; CUDA: bf16")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--skip", nargs="*", default=[], choices=(OFT, BOFT, HRA, DENSE, BIG_TORCH), help="sides")
    parser.add_argument("--quick", action="store_true", help="d 256, 512 tokens, three rounds: does it run?")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if options.quick:
        options.d, options.tokens, options.rounds = [256], [512], 3
    torch.set_num_threads(options.threads)
    cuda = torch.cuda.is_available()
    rows: list[Row] = []
    for d, num_tokens in product(options.d, options.tokens):
        print(f"d {d}, {num_tokens} tokens", file=sys.stderr, flush=True)
        rows += measure(d, num_tokens, getattr(torch, options.dtype), "cpu", options.rounds, options.skip)
        if cuda:
            rows += measure(d, num_tokens, torch.bfloat16, "cuda", options.rounds, options.skip)
    if options.json:
        content = {"schema": 1, "settings": vars(options), "rows": [asdict(row) for row in rows]}
        content["cuda"] = "measured" if cuda else "not measured"
        print(json.dumps({**content, "made_with": provenance()}, indent=1))
    else:
        print(markdown(rows, cuda))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
