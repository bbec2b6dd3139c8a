"""BIG's Triton kernels: right under the interpreter and on a GPU, and compiled for one without it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.forked import ROOT, python

pytest.importorskip("triton")
LAWS = Path(__file__).with_name("givens_triton_laws.py")

# Compiles one kernel for an H100 and prints what registers it has and spills; argv: kernel, D, planes.
# A process of its own: Triton decides at import whether it interprets. Forked: its imports do not.
COMPILE = """
import subprocess, sys
from pathlib import Path
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from ropo_bench.adapters.ropo.kernels import rounds, triton as launches
kernel, d, planes = sys.argv[1], int(sys.argv[2]), sys.argv[3]
width = 1 << (d - 1).bit_length()
function = getattr(rounds, kernel)
launch = (launches.forward_launch if kernel == "rotate_kernel" else launches.backward_launch)(width)
constants = dict(D=d, W=width, T=launch.tokens, S=min(rounds.TAIL, width), F=False, U=planes == "mirror")
types = {"x_ptr": "*bf16", "y_ptr": "*bf16", "g_ptr": "*bf16", "grad_ptr": "*bf16", "N": "i32"}
signature = {a: "constexpr" if a in constants else types.get(a, "*fp32") for a in function.arg_names}
aligned = {(n,): [["tt.divisibility", 16]] for n, t in enumerate(signature.values()) if t.startswith("*")}
options = dict(num_warps=launch.warps, maxnreg=launches.REGISTERS, enable_fp_fusion=True)
source = ASTSource(function, signature, constants, aligned)
compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
Path("kernel.cubin").write_bytes(compiled.asm["cubin"])
cuobjdump = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
subprocess.run([cuobjdump, "-res-usage", "kernel.cubin"], check=True)
"""


def laws(tmp_path: Path, **environment: str) -> None:
    command = [sys.executable, "-m", "pytest", str(LAWS), "-p", "no:xdist", "-p", "no:cacheprovider"]
    own = {"PYTHONPATH": str(ROOT), "TRITON_CACHE_DIR": str(tmp_path / "cache"), **environment}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, **own}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout), done.stdout


@pytest.mark.slow
def test_laws_hold_under_the_interpreter(tmp_path: Path) -> None:
    laws(tmp_path, TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_laws_hold_on_a_gpu(tmp_path: Path) -> None:
    laws(tmp_path, TRITON_INTERPRET="0")


@pytest.mark.parametrize(
    ("kernel", "d", "planes", "frame"),
    [
        ("rotate_kernel", 4096, "shared", 32),
        pytest.param("back_kernel", 4096, "shared", 512, marks=pytest.mark.slow),
    ],
)
def test_kernels_compile_for_an_h100_and_keep_to_its_registers(
    kernel: str, d: int, planes: str, frame: int, tmp_path: Path
) -> None:
    nvidia = pytest.importorskip("triton.backends.nvidia", reason="this Triton has no CUDA backend")
    if not (Path(nvidia.__file__).parent / "bin" / "cuobjdump").is_file():
        pytest.skip("this Triton ships no cuobjdump")
    compiling = python(COMPILE, kernel, str(d), planes, cwd=tmp_path, TRITON_CACHE_DIR=str(tmp_path / "cache"))
    output, errors = compiling.communicate(timeout=120)
    assert compiling.returncode == 0, errors
    usage = re.search(r"REG:(\d+) STACK:(\d+)", output)
    assert usage, output
    registers, stack_bytes = map(int, usage.groups())
    assert registers <= 128
    assert stack_bytes <= frame, "what does not fit the registers spills there"
